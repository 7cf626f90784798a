package changes_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// However a problem varies, the log is told of it once, and again every ten
// minutes.
func TestLogIsNotFilled(t *testing.T) {
	n := 0
	for name, c := range map[string]struct {
		problem func(d *document)
		errors  int // lines at level ERROR in 25 minutes
	}{
		"a port in the text": {func(d *document) {
			d.fail(fmt.Errorf("read udp [::1]:%d->[::1]:53: connection refused", 30000+n))
		}, 3},
		"two in turn": {func(d *document) {
			d.fail([]error{errDown, errors.New("no route")}[n/3%2])
		}, 6},
		"comes and goes": {func(d *document) {
			if d.fail(errDown); n/3%2 == 0 {
				d.fail(nil)
			}
		}, 25},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			doc := newDocument("shop.json", flagd("a", "on"))
			w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: newStore(t), Logger: slog.New(slog.NewTextHandler(&log, nil))})
			pause(5 * time.Second)
			for n = range 25 * 60 {
				c.problem(doc)
				pause(time.Second)
			}
			doc.fail(nil)
			pause(5 * time.Second)
			closeWatcher(t, w)
			failed, well := strings.Count(log.String(), "level=ERROR"), strings.Count(log.String(), "can look again")
			if failed == 0 || failed > c.errors || well == 0 || well > failed {
				t.Errorf("%s: it is told %d times of trouble, and %d times that it is over", name, failed, well)
			}
		})
	}
}
