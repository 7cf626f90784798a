package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const (
	// manyMost is how many dead letters are counted before somebody acts on them.
	manyMost = 10_000
	// manyShown is how many of them are shown.
	manyShown = 5
	// manyTime is how long one request works on them: below what browsers and
	// proxies wait. What is left is said.
	manyTime = 12 * time.Second
)

// manyView is what is to be done with many dead letters.
type manyView struct {
	Do string // "replay" or "discard"
	// Cause names the reason that they have, empty for whatever reason; see
	// causeOf.
	Cause, Reason string
	// Newest is the Seq of the newest: what dies after the question is not meant.
	Newest int64
	Count  string
	One    bool
	First  []letter
}

// causeOf names a reason, in a form that neither an address nor a form changes.
func causeOf(reason string) string {
	sum := sha256.Sum256([]byte(reason))
	return hex.EncodeToString(sum[:8])
}

// eachDead calls do with the dead letters that are meant, the newest first, a page
// at a time, until it says that it is enough.
func (c *Console) eachDead(ctx context.Context, cause string, newest int64, do func([]queue.Entry) (enough bool, err error)) error {
	filter := queue.Filter{States: []queue.State{queue.Dead}, Newest: true, Limit: queue.MaxList}
	if newest > 0 {
		filter.Before = newest + 1
	}
	for {
		entries, err := c.config.Inspector.List(ctx, filter)
		if err != nil {
			return err
		}
		var meant []queue.Entry
		for _, entry := range entries {
			if cause == "" || causeOf(entry.Reason) == cause {
				meant = append(meant, entry)
			}
		}
		if enough, err := do(meant); enough || err != nil {
			return err
		}
		if len(entries) < filter.Limit {
			return nil
		}
		filter.Before = entries[len(entries)-1].Seq
	}
}

// findMany counts the dead letters that a request means.
func (c *Console) findMany(ctx context.Context, w http.ResponseWriter, r *http.Request, values url.Values) (manyView, bool) {
	v := manyView{Do: values.Get("do"), Cause: values.Get("cause"), Newest: seqOf(values, "newest")}
	if v.Do != "replay" && v.Do != "discard" {
		c.problem(w, r, http.StatusBadRequest, "This address names nothing to do.")
		return v, false
	}
	n := 0
	err := c.eachDead(ctx, v.Cause, v.Newest, func(entries []queue.Entry) (bool, error) {
		for _, entry := range entries[:min(len(entries), manyShown-len(v.First))] {
			v.First = append(v.First, letterOf(entry))
		}
		n += len(entries)
		return n > manyMost, nil
	})
	switch {
	case err != nil:
		c.problem(w, r, http.StatusServiceUnavailable, "The store does not answer: "+err.Error())
		return v, false
	case n == 0:
		c.problem(w, r, http.StatusNotFound, "There are no such dead letters (any more).")
		return v, false
	}
	if v.Newest == 0 {
		v.Newest = v.First[0].Entry.Seq
	}
	if v.Cause != "" {
		v.Reason = v.First[0].Entry.Reason
	}
	v.Count, v.One = number(n, manyMost), n == 1
	return v, true
}

// showMany asks whether many dead letters are to be dealt with.
func (c *Console) showMany(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTime)
	defer cancel()
	if v, ok := c.findMany(ctx, w, r, r.URL.Query()); ok {
		c.render(w, r, http.StatusOK, frame{Body: "many", View: v})
	}
}

// actOnMany does what is confirmed, for as long as one request may take.
func (c *Console) actOnMany(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.problem(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actTime)
	defer cancel()
	v, ok := c.findMany(ctx, w, r, r.PostForm)
	if !ok {
		return
	}
	if r.PostForm.Get("confirm") != "yes" || seqOf(r.PostForm, "newest") == 0 {
		c.render(w, r, http.StatusUnprocessableEntity, frame{Body: "many", View: v})
		return
	}
	n, left, err := c.dealWithMany(ctx, v)
	if n > 0 {
		c.config.Logger.Info("console: somebody has dealt with dead changes", "did", verbs[v.Do], "by", userOf(r), "changes", n, "reason", v.Reason)
	}
	if err != nil {
		c.problem(w, r, http.StatusServiceUnavailable, "After "+grouped(n)+" changes it failed, look again: "+err.Error())
		return
	}
	did := url.Values{"did": {"all-" + verbs[v.Do]}, "n": {strconv.Itoa(n)}}
	if left {
		did.Set("did", "some-"+verbs[v.Do])
	}
	seeOther(w, "./?"+did.Encode())
}

// dealWithMany returns how many it has dealt with, and whether time was too short
// for the others.
func (c *Console) dealWithMany(ctx context.Context, v manyView) (n int, left bool, err error) {
	end := time.Now().Add(manyTime)
	err = c.eachDead(ctx, v.Cause, v.Newest, func(entries []queue.Entry) (bool, error) {
		if v.Do == "discard" {
			more, err := c.config.Inspector.Discard(ctx, entries...)
			n += more
			left = time.Now().After(end)
			return left, err
		}
		for _, entry := range entries {
			if left = time.Now().After(end); left {
				return true, nil
			}
			err := c.config.Inspector.Replay(ctx, entry)
			if errors.Is(err, queue.ErrNotDead) {
				continue // somebody else was there before
			}
			if err != nil {
				return true, err
			}
			n++
		}
		return false, nil
	})
	return n, left, err
}

// noticeOf is what a page says of what was done.
func noticeOf(query url.Values) string {
	did := query.Get("did")
	if text, known := manyNotices[did]; known {
		n, _ := strconv.Atoi(query.Get("n"))
		return grouped(max(n, 0)) + text
	}
	return notices[did]
}

var manyNotices = map[string]string{
	"all-replayed":   " changes are on their way to Sentry again.",
	"some-replayed":  " changes are on their way to Sentry again. Time was too short for the others: do it once more.",
	"all-discarded":  " changes are discarded: Sentry will not get them.",
	"some-discarded": " changes are discarded. Time was too short for the others: do it once more.",
}
