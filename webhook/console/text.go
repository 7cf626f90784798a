package console

import (
	"strconv"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/visible"
)

// shownText is the longest text from outside that the page shows in one place.
const shownText = 500

func shown(text string) string { return visible.Text(visible.Cut(text, shownText)) }

// length says how long a duration is, to two digits or so.
func length(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + " d"
}

// number writes a count that was made up to a most.
func number(n, most int) string {
	if most > 0 && n > most {
		return grouped(most) + "+"
	}
	return grouped(n)
}

func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
