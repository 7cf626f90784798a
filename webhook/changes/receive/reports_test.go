package receive_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
)

// What people have reported of webhooks that they receive.

// getsentry/sentry#38443, octokit/webhooks.js#1081: something in front reads the
// body, and puts another one in its place that means the same. The signature is
// over the bytes, so it is wrong; if nothing is put there the receiver says what
// has happened.
func TestReportBodyWrittenAnew(t *testing.T) {
	r := newReceiver(t, receive.Config{Product: receive.GrowthBook{}, Store: newStore(t)})
	inFront := func(put bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			var document any
			if err := json.NewDecoder(request.Body).Decode(&document); err != nil {
				t.Error(err)
			}
			if put {
				anew, _ := json.MarshalIndent(document, "", " ")
				request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(anew)), int64(len(anew))
			}
			r.ServeHTTP(w, request)
		})
	}
	body := growthBook("updated", "a", "", 1, time.Now())
	if status, text := serve(inFront(true), request("growthbook", secret, body)); status != 401 || text != "refused: forged" {
		t.Errorf("%d %s", status, text)
	}
	if status, text := serve(inFront(false), request("growthbook", secret, body)); status != 500 || text != "refused: body_read" {
		t.Errorf("%d %s", status, text)
	}
}

// zenml-io/zenml#5215: a receiver that takes too long is sent the webhook again,
// and does everything twice.
func TestReportSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		r := newReceiver(t, receive.Config{Product: receive.Flipt{}, Store: s})
		s.be(nil, true, false)
		body := flipt("updated", "a", "ada@example.com", 1, time.Now())
		for range 3 { // Flipt waits for 5 s each time
			began := time.Now()
			if status, _ := serve(r, request("flipt", secret, body)); status != 503 || time.Since(began) > 4*time.Second {
				t.Errorf("%d after %v", status, time.Since(began))
			}
		}
		s.be(nil, false, false)
		time.Sleep(10 * time.Second)
		if text := send(t, r, "flipt", body); text != "repeated" {
			t.Error(text)
		}
		if got := emitted(t, s); len(got) != 1 {
			t.Error(got)
		}
	})
}

// documenso/documenso#3204: each try has another body, and nothing that they have
// in common. What is watched is reported once all the same.
func TestReportEachTryDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &document{}, newStore(t)
		d.set(1, 1)
		w := watcher(t, d, s, time.Second)
		r := newReceiver(t, receive.Config{Product: receive.GrowthBook{}, Watchers: []*changes.Watcher{w}})
		time.Sleep(40 * time.Second)
		at := time.Now()
		d.set(2, 1)
		for try := range 4 {
			send(t, r, "growthbook", growthBook("updated", "a", "ada@example.com", try, at.Add(time.Duration(try)*100*time.Millisecond)))
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if got := strings.Join(told(emitted(t, s)), "; "); got != "updated a by email ada@example.com" {
			t.Error(got)
		}
	})
}

// flipt-io/flipt#6279: an update of the product has ended its audit events, and
// nobody noticed. When the last one came can be asked for, and alarm somebody.
func TestReportProductFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, receive.Config{Product: receive.Flipt{}, Store: newStore(t)})
		send(t, r, "flipt", flipt("updated", "a", "", 1, time.Now()))
		time.Sleep(48 * time.Hour)
		if silent := time.Since(r.Stats().LastAuthentic); silent != 48*time.Hour {
			t.Error(silent)
		}
	})
}
