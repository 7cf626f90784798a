//go:build unix

package flagdfile

import (
	"fmt"
	"os"
	"syscall"
)

func ownerOf(info os.FileInfo) string {
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", stat.Uid, stat.Gid)
}
