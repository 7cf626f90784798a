package webhooktest

import (
	"math"
	"net/url"
	"strconv"
	"time"
)

// longest is how far back the log goes if the query does not say.
const longest = 90 * 24 * time.Hour

var periodUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

// period returns the time that a query asks for: from, inclusive, to,
// exclusive. Unless start and end are given it ends now, which hides what is
// dated in the future.
func period(query url.Values, now time.Time) (from, to time.Time, refusal string) {
	start, end := query.Get("start"), query.Get("end")
	switch {
	case query.Has("statsPeriod"):
		back, ok := statsPeriod(query.Get("statsPeriod"))
		if !ok {
			return from, to, "Invalid statsPeriod: '" + query.Get("statsPeriod") + "'"
		}
		from, to = now.Add(-back), now
	case start == "" && end == "":
		return now.Add(-longest), now, ""
	case start == "" || end == "":
		return from, to, "start and end are both required"
	default:
		var ok bool
		if from, ok = queryTime(start); !ok {
			return from, to, start + " is not a valid ISO8601 date query"
		}
		if to, ok = queryTime(end); !ok {
			return from, to, end + " is not a valid ISO8601 date query"
		}
	}
	if !from.Before(to) {
		return from, to, "start must be before end"
	}
	return from, to, ""
}

// statsPeriod reads 14d, 24h, 90m and so on; a number alone is seconds.
func statsPeriod(s string) (time.Duration, bool) {
	unit := time.Second
	if s != "" {
		if u, ok := periodUnits[s[len(s)-1]]; ok {
			unit, s = u, s[:len(s)-1]
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || int64(n) > math.MaxInt64/int64(unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// queryTime reads an ISO 8601 time, or seconds since 1970.
func queryTime(s string) (time.Time, bool) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(seconds) < 1<<40 {
		whole, part := math.Modf(seconds)
		return time.Unix(int64(whole), int64(part*1e6)*1e3).UTC(), true
	}
	t, err := parseDateTime(s)
	return t, err == nil
}
