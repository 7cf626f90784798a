// Package request is what this project's clients of HTTP APIs share.
package request

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// IsLoopback reports whether host is this machine for certain: an address, or
// exactly "localhost". Any other name could be made to point elsewhere.
func IsLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// RetryAfter reads a Retry-After header in either of its forms; 0 if there is none,
// and most if it asks for more.
func RetryAfter(header http.Header, now time.Time, most time.Duration) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return min(time.Duration(min(max(seconds, 0), int64(most/time.Second)+1))*time.Second, most)
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), most)
	}
	return 0
}
