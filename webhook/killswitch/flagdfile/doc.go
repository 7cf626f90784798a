// Package flagdfile switches flags in a flag definition file in flagd's JSON
// format, the one that flagd and OpenFeature's flagd provider read from disk.
//
// [Toggler] edits the state of a flag in place: "ENABLED" becomes "DISABLED" or
// the other way round, and every other byte of the file stays, white space,
// order and spelling included. A flag that is disabled has the default of the
// code that asks for it.
//
// The file is replaced in one step, by a rename after both the new file and its
// folder are on disk, so that a reader sees the old file or the new one. Mode,
// owner and group are kept, or the file is left as it is; access lists and
// extended attributes are not kept. What others have changed meanwhile is
// noticed, and the edit is made anew on top of it: the file is compared right
// before the rename, and togglers of several processes take turns by a lock on
// the file (not on Windows, where they must not share one). Between the
// comparison and the rename there are some microseconds in which another
// program's write would be lost.
//
// A program that had read the file before an edit and writes it after that undoes
// the edit, for it takes no lock. So the toggler looks again 200 milliseconds
// later, and sets the state anew. A program that takes longer is not noticed.
//
// # What it is not for
//
// It refuses what it could not edit honestly, and says why:
//
//   - YAML, in which a state has many spellings and places. Convert the file to
//     JSON, or use another toggler.
//   - Files that a mount of Kubernetes manages (a ConfigMap or a Secret, linked
//     through "..data"): the next synchronisation would undo the edit. Switch the
//     flag where the ConfigMap comes from.
//   - A file that is a mount of its own (docker run -v …/flags.json:/flags.json, a
//     subPath), over which nothing can be renamed: mount its folder.
//   - A flag without a state, or that is there more than once: which of them is
//     meant? The same for a name that is there twice, also in different case,
//     which flagd takes for one name and other evaluators for two.
//
// Nor does it reach who has the file by other means than its name. A container in
// which it is a mount of its own, and another hard link, keep the file as it was
// before the first edit: give flagd the folder, too.
//
// Who watches the file for changes sees the switch as a change by the process
// that runs the toggler.
package flagdfile
