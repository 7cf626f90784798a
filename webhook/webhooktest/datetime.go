package webhooktest

import (
	"cmp"
	"errors"
	"regexp"
	"strings"
	"time"
)

const wrongDateTime = "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."

var (
	errWrongDateTime = errors.New(wrongDateTime)                  //nolint:revive,staticcheck // Sentry's words
	errOutOfRange    = errors.New("Datetime value out of range.") //nolint:revive,staticcheck // Sentry's words
)

// Django tries Python's datetime.fromisoformat first and a pattern of its own
// after that, so more passes than the message says: a date alone, a week, any
// one character between date and time, no colons.
var (
	isoPattern = regexp.MustCompile(`^(?:` +
		`(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)` +
		`|(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)` +
		`|(?P<year>\d{4})(?:-W(?P<week>\d\d)(?:-(?P<weekday>\d))?|W(?P<week>\d\d)(?P<weekday>\d)?)` +
		`)(?:(?s:.)` +
		`(?P<hour>\d\d)(?:(?::(?P<minute>\d\d)(?::(?P<second>\d\d))?)|(?P<minute>\d\d)(?P<second>\d\d)?)?` +
		`(?:[.,](?P<fraction>\d+))?` +
		`(?P<zone>Z|[+-]\d\d(?::\d\d(?::\d\d(?:[.,]\d+)?)?|\d\d(?:\d\d(?:[.,]\d+)?)?)?)?` +
		`)?$`)
	// As any pattern of Python, it takes the digits of all scripts.
	djangoPattern = regexp.MustCompile(`^` +
		`(?P<year>\p{Nd}{4})-(?P<month>\p{Nd}{1,2})-(?P<day>\p{Nd}{1,2})` +
		`[T ](?P<hour>\p{Nd}{1,2}):(?P<minute>\p{Nd}{1,2})` +
		`(?::(?P<second>\p{Nd}{1,2})(?:[.,](?P<fraction>\p{Nd}{1,6})\p{Nd}{0,6})?)?` +
		`\s*(?P<zone>Z|[+-]\p{Nd}\p{Nd}(?::?\p{Nd}\p{Nd})?)?\n?$`)
)

// parseDateTime reads a time to the microsecond; without a zone it is in UTC.
// The error's text is Sentry's.
func parseDateTime(s string) (time.Time, error) {
	for _, pattern := range []*regexp.Regexp{isoPattern, djangoPattern} {
		t, ok := matchDateTime(pattern, s)
		if !ok {
			continue
		}
		if year := t.Year(); year < 1 || year > 9999 {
			return time.Time{}, errOutOfRange
		}
		return t, nil
	}
	return time.Time{}, errWrongDateTime
}

func matchDateTime(pattern *regexp.Regexp, s string) (time.Time, bool) {
	match := pattern.FindStringSubmatch(s)
	if match == nil {
		return time.Time{}, false
	}
	part := map[string]string{}
	for i, name := range pattern.SubexpNames() {
		part[name] = cmp.Or(part[name], match[i])
	}
	day, ok := date(part)
	hour, minute, second := atoi(part["hour"]), atoi(part["minute"]), atoi(part["second"])
	if !ok || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	offset, ok := zoneOffset(part["zone"])
	if !ok {
		return time.Time{}, false
	}
	clock := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
	return day.Add(clock + fraction(part["fraction"]) - offset), true
}

func date(part map[string]string) (time.Time, bool) {
	year := atoi(part["year"])
	if year == 0 {
		return time.Time{}, false
	}
	if part["week"] != "" {
		return weekDate(year, atoi(part["week"]), atoi(cmp.Or(part["weekday"], "1")))
	}
	month, day := time.Month(atoi(part["month"])), atoi(part["day"])
	t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return t, t.Month() == month && t.Day() == day
}

func weekDate(year, week, weekday int) (time.Time, bool) {
	if weekday < 1 || weekday > 7 {
		return time.Time{}, false
	}
	// 4 January is always in week 1.
	fourth := time.Date(year, time.January, 4, 0, 0, 0, 0, time.UTC)
	monday := fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7)
	t := monday.AddDate(0, 0, 7*(week-1)+weekday-1)
	gotYear, gotWeek := t.ISOWeek()
	return t, gotYear == year && gotWeek == week && t.Year() <= 9999
}

// fraction cuts to the microsecond.
func fraction(digits string) time.Duration {
	micros := []rune(digits + "000000")[:6]
	return time.Duration(atoi(string(micros))) * time.Microsecond
}

func zoneOffset(zone string) (time.Duration, bool) {
	if zone == "" || zone == "Z" {
		return 0, true
	}
	whole, rest, _ := strings.Cut(strings.ReplaceAll(zone[1:], ",", "."), ".")
	digits := []rune(strings.ReplaceAll(whole, ":", "") + "0000")
	offset := time.Duration(atoi(string(digits[:2])))*time.Hour +
		time.Duration(atoi(string(digits[2:4])))*time.Minute +
		time.Duration(atoi(string(digits[4:6])))*time.Second + fraction(rest)
	if offset >= 24*time.Hour {
		return 0, false
	}
	if zone[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// atoi reads a short run of digits that a pattern has matched.
func atoi(digits string) int {
	n := 0
	for _, r := range digits {
		d, _ := digit(r)
		n = 10*n + int(d-'0')
	}
	return n
}
