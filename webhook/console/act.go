package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// letterView is a dead letter, and what is to be done with it.
type letterView struct {
	letter
	// Do is "correct", "replay" or "discard".
	Do string
	// Form is what the form has, as it was typed, and Review what Sentry is to
	// get, if it is only to be confirmed.
	Form    form
	Review  *webhook.Change
	Warning string
	// Refused says what is wrong with the form, and Field which field.
	Refused, Field string
	Length         int
	MaxFlag        int
	Actions        []webhook.Action
	AuthorTypes    []webhook.AuthorType
}

// form is a correction as it is typed.
type form struct{ Flag, Action, Author, AuthorType, CreatedAt string }

func formOf(change webhook.Change) form {
	return form{change.Flag, string(change.Action), change.CreatedBy.ID, string(change.CreatedBy.Type), change.CreatedAt.Format(time.RFC3339Nano)}
}

func (f form) change() (webhook.Change, error) {
	createdAt, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(f.CreatedAt))
	if err != nil {
		return webhook.Change{}, &webhook.ChangeError{Field: "CreatedAt", Reason: "has to look like 2026-09-01T12:00:00Z"}
	}
	return webhook.Change{
		Action: webhook.Action(f.Action), Flag: f.Flag, CreatedAt: createdAt,
		CreatedBy: webhook.Author{ID: f.Author, Type: webhook.AuthorType(f.AuthorType)},
	}, nil
}

// verbs are what can be done with a dead letter, and what the page says of it
// afterwards.
var verbs = map[string]string{"correct": "corrected", "replay": "replayed", "discard": "discarded"}

// find returns the dead letter that a request names.
func (c *Console) find(ctx context.Context, w http.ResponseWriter, r *http.Request, values url.Values) (letterView, bool) {
	do, id := values.Get("do"), values.Get("id")
	if _, known := verbs[do]; !known || id == "" || len(id) > queue.MaxID {
		c.problem(w, r, http.StatusBadRequest, "This address names no change, or nothing to do with it.")
		return letterView{}, false
	}
	found, err := c.config.Inspector.List(ctx, queue.Filter{ID: id})
	switch {
	case err != nil:
		c.problem(w, r, http.StatusServiceUnavailable, "The store does not answer: "+err.Error())
		return letterView{}, false
	case len(found) == 0:
		c.problem(w, r, http.StatusNotFound, "There is no such change (any more).")
		return letterView{}, false
	case found[0].State != queue.Dead || found[0].Seq != seqOf(values, "seq"):
		c.problem(w, r, http.StatusConflict, "Somebody was there before: the change is "+found[0].State.String()+" now.")
		return letterView{}, false
	}
	v := letterView{
		letter: letterOf(found[0]), Do: do, MaxFlag: c.config.Inspector.MaxFlag(),
		Actions:     []webhook.Action{webhook.ActionCreated, webhook.ActionUpdated, webhook.ActionDeleted},
		AuthorTypes: []webhook.AuthorType{webhook.AuthorEmail, webhook.AuthorID, webhook.AuthorName},
	}
	v.Form, v.Length = formOf(v.Change), utf8.RuneCountInString(v.Change.Flag)
	if !v.Known && do == "correct" {
		c.problem(w, r, http.StatusConflict, "There is no change in this entry that could be corrected.")
		return letterView{}, false
	}
	return v, true
}

// showLetter shows a dead letter, with the form for what is to be done with it.
func (c *Console) showLetter(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTime)
	defer cancel()
	if v, ok := c.find(ctx, w, r, r.URL.Query()); ok {
		c.render(w, r, http.StatusOK, frame{Body: "letter", View: v})
	}
}

// actOnLetter does what is confirmed.
func (c *Console) actOnLetter(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.problem(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actTime)
	defer cancel()
	v, ok := c.find(ctx, w, r, r.PostForm)
	if !ok {
		return
	}
	var change webhook.Change
	if v.Do == "correct" {
		// A browser sends each line break of a text area as two characters.
		flag := strings.ReplaceAll(r.PostForm.Get("flag"), "\r\n", "\n")
		v.Form = form{
			flag, r.PostForm.Get("action"), r.PostForm.Get("author"), r.PostForm.Get("author_type"), r.PostForm.Get("created_at"),
		}
		if change, ok = c.review(&v); !ok {
			c.render(w, r, http.StatusUnprocessableEntity, frame{Body: "letter", View: v})
			return
		}
	}
	if r.PostForm.Get("confirm") != "yes" {
		c.render(w, r, http.StatusOK, frame{Body: "letter", View: v})
		return
	}
	if err := c.act(ctx, v, change); err != nil {
		if errors.Is(err, queue.ErrNotDead) {
			c.problem(w, r, http.StatusConflict, "Somebody was there before: the change is not dead any more.")
			return
		}
		c.problem(w, r, http.StatusServiceUnavailable, "It is not known whether that worked, look again: "+err.Error())
		return
	}
	c.config.Logger.Info("console: somebody has dealt with a dead change",
		"did", verbs[v.Do], "by", userOf(r), "item", v.Entry.ID, "flag", v.Change.Flag, "reason", v.Entry.Reason)
	seeOther(w, "./?did="+verbs[v.Do])
}

// review holds the form against Sentry's rules.
func (c *Console) review(v *letterView) (webhook.Change, bool) {
	change, err := v.Form.change()
	if err == nil {
		change, err = c.config.Inspector.Preview(v.Entry, change)
	}
	if err != nil {
		v.Refused = err.Error()
		if invalid, ok := errors.AsType[*webhook.ChangeError](err); ok {
			v.Refused, v.Field = invalid.Field+" "+invalid.Reason, invalid.Field
		}
		return change, false
	}
	v.Review = &change
	if !webhook.Correlates(change.Flag) {
		v.Warning = "Sentry takes a flag of this name, but never shows it beside an error: there it keeps names of 1 to 200 of a-z, A-Z, 0-9, '_', '.', ':' and '-'."
	}
	return change, true
}

func (c *Console) act(ctx context.Context, v letterView, change webhook.Change) error {
	switch v.Do {
	case "correct":
		_, err := c.config.Inspector.Correct(ctx, v.Entry, change)
		return err
	case "replay":
		return c.config.Inspector.Replay(ctx, v.Entry)
	}
	n, err := c.config.Inspector.Discard(ctx, v.Entry)
	if err == nil && n == 0 {
		err = queue.ErrNotDead
	}
	return err
}

// resume ends a pause. It loses nothing, so that it is not asked for twice.
func (c *Console) resume(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), actTime)
	defer cancel()
	if err := c.config.Inspector.Resume(ctx); err != nil {
		c.problem(w, r, http.StatusServiceUnavailable, "The store does not answer: "+err.Error())
		return
	}
	c.config.Logger.Info("console: somebody has ended a pause of the delivery", "by", userOf(r))
	seeOther(w, "./?did=resumed")
}

// seeOther leads to a page. Its address is relative to what the browser sees, of
// which a prefix may have been stripped.
func seeOther(w http.ResponseWriter, address string) {
	w.Header().Set("Location", address)
	w.WriteHeader(http.StatusSeeOther)
}

// problem answers with a page that says what is wrong.
func (c *Console) problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	c.render(w, r, status, frame{Body: "problem", Problem: text})
}
