package flagdfile

import (
	"os"
	"strconv"
	"strings"
)

// mountInfo is where Linux lists the mounts of this process.
var mountInfo = "/proc/self/mountinfo"

// isMounted reports whether a file is a mount of its own. Without the list it
// cannot be told, and a rename will.
func isMounted(path string) bool {
	list, err := os.ReadFile(mountInfo)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(list)) {
		// 36 35 98:0 /root /where options …
		if fields := strings.Fields(line); len(fields) > 4 && unescape(fields[4]) == path {
			return true
		}
	}
	return false
}

// unescape reads white space and backslashes, which the list has as \040.
func unescape(text string) string {
	parts := strings.Split(text, `\`)
	for i, part := range parts[1:] {
		if len(part) < 3 {
			return text
		}
		code, err := strconv.ParseUint(part[:3], 8, 8)
		if err != nil {
			return text
		}
		parts[i+1] = string([]byte{byte(code)}) + part[3:]
	}
	return strings.Join(parts, "")
}
