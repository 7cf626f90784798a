// Package changes finds changes of feature-flag definitions by themselves, so
// that Sentry's flag log has them without anybody calling anything.
//
// A [Format] reads a document into [Definitions]: [Flagd], [GoFeatureFlag], and
// with [Keyed] one line for most flag products. [Diff] of two [Snapshot] values
// says which flags were created, updated and deleted; [DiffDefinitions] also
// what within them changed. A [Watcher] looks at a [Source], a [File], a
// [Folder], a [URL] or any function, and gives what it finds to an emitter of
// package webhook.
//
// # What is a change
//
// Only what can change an evaluation: not comments, layout, order, metadata or
// descriptions. A snapshot keeps a digest of that for each flag, and no
// definition, so nothing secret and nothing personal. The first snapshot is the
// baseline and reports nothing ([Config.EmitBaseline]). The last one is a note in
// the store, replaced in the transaction that enqueues the changes: what changed
// while no process ran is found, and everything once, however many processes
// watch. A change is dated when it was first seen.
//
// Documents that are broken, half-written, empty or gone change nothing; the last
// good snapshot stays, [Stats] and the log say why. Only a document that says so,
// {"flags":{}}, has no flags. Documents that say a thing twice are refused, though
// some evaluators take the later of the two. YAML that breaks off can be whole
// YAML: [Config.Gather] waits until a document has stopped changing, and longer
// where flags are missing.
//
// # What no difference can see
//
// Scheduled and progressive roll-outs, which change evaluations without any edit;
// segments that are kept in another place; who made a change ([Config.Author],
// [Watcher.Lend]).
// Where the documents are in git, package gitlog finds that in their history.
//
// A change shows beside an error only if the flag is also evaluated, under the
// same name, and the evaluation is recorded (package flagtrack). Otherwise it
// stands in the flag log alone.
//
// # Events
//
// OpenFeature's configuration-changed event, or a flag product's webhook, says
// that something has changed. Events are lost, reordered and name too much, so
// that they are no changes: call [Watcher.Look], or [Watcher.Lend] if they say who
// it was. Package receive does that with webhooks. A kill switch that edits the
// same document and reports that itself calls [Watcher.Own].
package changes
