// Package gitlog finds who changed which flag, and when, in the git history of
// the files that define them, and reports it to Sentry's flag log.
//
// [Read] goes from one commit to another, and compares the definitions in each
// commit with those before it: one [Set] of edits for each commit that changed
// any, oldest first. [Set.Changes] makes changes of package webhook of it, which
// [Report] sends, leaving out what the log has already.
//
// It is for a job that runs after each push, and is the only source of changes
// that knows their author. For files as they are now, wherever they come from,
// there is the watcher of package changes.
//
// # Which commits
//
// Those on the branch, that is the first parents: what a merge brought in is the
// merge's change, for that is when it took effect. Where a branch was merged into
// somebody's copy, and that pushed, what the branch had before comes as the
// second parent; the line goes along that one, so that nothing is found twice.
// When the branch was pushed by force, so that the commit before is no part of
// it, the difference between the two is one set. Commits that are taken back so and
// pushed once more are what they were, and in the log already.
//
// A change is dated as its commit was committed, to the second. Commits in a row
// that have the same second, as a rebase makes them, are a microsecond apart.
//
// # Which author
//
// The author of the commit, by e-mail; of a merge, who merged, or with
// [Config.MergedAuthor] who wrote what was merged. Names and addresses are taken
// as they were committed, whatever a .mailmap says later: Sentry's log is not
// rewritten either.
//
// # Which documents
//
// Files and folders, followed through renames: a renamed file is neither deleted
// nor created. A file that is gone takes its flags with it, unlike one that a
// watcher misses, for a commit is never half done. A document that cannot be read
// changes nothing until a later commit mends it, and is a [Problem].
//
// # Git
//
// It runs the installed git, of version 2.15 or newer, reads objects and writes
// nothing. What is in the repository runs nothing: no hook, filter, textconv or
// external diff, and replacements and grafts do not count.
package gitlog
