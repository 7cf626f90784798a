package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// elsewhere answers what is posted to a path that no door has. A product with a
// wrong URL looks like no changes at all, so it is counted and told.
type elsewhere struct {
	logger *slog.Logger

	mu     sync.Mutex
	calls  int64
	last   time.Time
	saidAt time.Time
}

// remindElsewhere is how often such calls are logged.
const remindElsewhere = 10 * time.Minute

func (e *elsewhere) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "no webhooks are received under this path", http.StatusNotFound)
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return // no product's
	}
	now := time.Now()
	e.mu.Lock()
	e.calls, e.last = e.calls+1, now
	say := now.Sub(e.saidAt) >= remindElsewhere
	if say {
		e.saidAt = now
	}
	e.mu.Unlock()
	if say {
		e.logger.Warn("flagwatch: a call to a path that is no product's: a wrong URL at the product, or a stranger", "path", shownPath(r.URL.Path))
	}
}

// shownPath is a foreign path as a log can bear it.
func shownPath(path string) string {
	const most = 60
	runes := []rune(strings.ToValidUTF8(path, "?"))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

func (e *elsewhere) seen() (calls int64, last time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls, e.last
}

func (e *elsewhere) tell(w io.Writer) {
	if calls, last := e.seen(); calls > 0 {
		fmt.Fprintf(w, "ok      %d calls to paths that are no product's, the last at %s: a wrong URL at a product, or a stranger\n", calls, last.UTC().Format(time.RFC3339))
	}
}

func (e *elsewhere) metric(w io.Writer) {
	const name = "flagwatch_webhooks_elsewhere_total"
	calls, _ := e.seen()
	fmt.Fprintf(w, "# HELP %s Calls to paths that are no product's.\n# TYPE %s counter\n%s %d\n", name, name, name, calls)
}
