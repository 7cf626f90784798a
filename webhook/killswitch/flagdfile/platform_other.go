//go:build !unix || solaris || aix

package flagdfile

import "os"

// lockIsFile says whether the lock hangs on the open file. An open file cannot
// be replaced here.
const lockIsFile = false

// dontWait is for pipes in the file system, which are not found here.
const dontWait = 0

// turn is held by the toggler of this process that edits a file.
var turn = make(chan struct{}, 1)

// lock keeps the togglers of one process apart.
func lock(*os.File) (bool, error) {
	select {
	case turn <- struct{}{}:
		return true, nil
	default:
		return false, nil
	}
}

func wantsWriting(error) bool { return false }

func unlock() { <-turn }

// keepOwner has nothing to do: a new file has the owner and the rights of its
// folder.
func keepOwner(*os.File, os.FileInfo) error { return nil }

func isMountPoint(error) bool { return false }

func isUnsupported(error) bool { return true }
