package request_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/request"
)

// TestBody: four bytes need no place; whoever wants more waits for one until its time or its request is over.
func TestBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := make(chan struct{}, 1)
		body := func(ctx context.Context) *request.Body {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader("12345678"))
			if err != nil {
				t.Fatal(err)
			}
			return request.NewBody(r, 4, places, time.Now().Add(3*time.Second))
		}
		read := func(b *request.Body) error {
			_, err := io.ReadFull(b, make([]byte, 4))
			return err
		}
		first, late := body(t.Context()), body(t.Context())
		if read(first) != nil || len(places) != 0 || read(first) != nil || len(places) != 1 {
			t.Error("the first did not take a place where it wanted more")
		}
		start := time.Now()
		if err := read(late); err != nil {
			t.Error("four bytes:", err)
		}
		if err := read(late); !errors.Is(err, request.ErrBusy) || time.Since(start) != 3*time.Second {
			t.Errorf("without a place: %v after %v", err, time.Since(start))
		}
		late.Leave()
		ctx, cancel := context.WithCancel(t.Context())
		given := body(ctx)
		time.AfterFunc(time.Second, cancel)
		start = time.Now()
		if err := errors.Join(read(given), read(given)); !errors.Is(err, request.ErrBusy) || time.Since(start) != time.Second {
			t.Errorf("given up: %v after %v", err, time.Since(start))
		}
		first.Leave()
		if all, err := io.ReadAll(body(t.Context())); err != nil || len(all) != 8 {
			t.Errorf("the place was not given back: %q, %v", all, err)
		}
	})
}
