package webhooktest

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const maxPerPage = 100

// A page of the log. Sentry's cursors are value:offset:is_prev, of which this
// endpoint uses the first as the size of a page and the second as its number.
type page struct {
	records []Record
	size    int
	number  int
	more    bool
}

func paginate(rows []Record, query url.Values) (page, string) {
	size := maxPerPage
	if query.Has("per_page") {
		n, err := strconv.Atoi(query.Get("per_page"))
		if err != nil {
			return page{}, "Invalid per_page parameter."
		}
		if n < 1 || n > maxPerPage {
			return page{}, fmt.Sprintf("Invalid per_page value. Must be between 1 and %d.", maxPerPage)
		}
		size = n
	}
	value, number := 0, 0
	if cursor := query.Get("cursor"); cursor != "" {
		var ok bool
		if value, number, ok = parseCursor(cursor); !ok {
			return page{}, "Invalid cursor parameter."
		}
	}
	if value < 0 || value > 0 && number < 0 {
		return page{}, "Pagination offset cannot be negative"
	}
	rows = rows[min(int64(number)*int64(value), int64(len(rows))):]
	if value != 0 {
		rows = rows[:min(value+1, len(rows))]
	}
	if value != size && value != 0 {
		rows = rows[max(0, len(rows)-size-1):]
	}
	return page{
		records: rows[:min(size, len(rows))],
		size:    size,
		number:  number,
		more:    len(rows) > size,
	}, ""
}

// parseCursor reads value:offset:is_prev.
func parseCursor(s string) (value, number int, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return 0, 0, false
	}
	var n [3]int
	for i, part := range parts {
		v, err := strconv.ParseInt(part, 10, 31)
		if err != nil {
			return 0, 0, false
		}
		n[i] = int(v)
	}
	return n[0], n[1], true
}

// link is the Link header: both directions always, results="false" where there
// is nothing.
func (p page) link(base string, query url.Values) string {
	query.Del("cursor")
	uri := base + "?" + query.Encode()
	entry := func(name, cursor string, results bool) string {
		return fmt.Sprintf(`<%s&cursor=%s>; rel="%s"; results="%t"; cursor="%s"`, uri, cursor, name, results, cursor)
	}
	previous := fmt.Sprintf("%d:%d:1", p.size, p.number-1)
	next := fmt.Sprintf("%d:%d:0", p.size, p.number+1)
	return entry("previous", previous, p.number > 0) + ", " + entry("next", next, p.more)
}
