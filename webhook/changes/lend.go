package changes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Loan is who made a change, from somebody who is told that: a flag product's
// webhook. What has changed the watcher finds itself.
type Loan struct {
	// ID tells the loan from others, and a repeat of it. Required, at most 100
	// bytes.
	ID string
	// Flag is the flag that was changed. Empty if that was not said: the author is
	// then that of whatever is found next.
	Flag string
	// Author is who changed it. The zero Author says that nobody is known to have,
	// so that what somebody else changed before is not held against them: the
	// change goes without. It needs Flag and At.
	Author webhook.Author
	// At is when it was changed, by the clock of whoever says so. It keeps an
	// author from signing what was made before. Zero if that was not said.
	At time.Time
}

// ErrNoLending means that [Watcher.Lend] was called for a watcher without
// [Config.AuthorWait]: it would sign changes by accident only.
var ErrNoLending = errors.New("changes: the watcher waits for no authors; set Config.AuthorWait")

// Borrows reports whether [Watcher.Lend] can be called: whether the watcher has
// [Config.AuthorWait].
func (w *Watcher) Borrows() bool { return w.config.AuthorWait > 0 }

// errNoLoan means that a loan is not as its fields say.
var errNoLoan = errors.New("changes: a loan needs an ID of at most 100 bytes, and an author, or a flag and a time")

// valid reports whether a loan is as its fields say.
func (l Loan) valid() bool {
	return l.ID != "" && len(l.ID) <= maxLoanID && (l.Author.ID != "" || l.Flag != "" && !l.At.IsZero())
}

const (
	maxLoanID = 100
	// clockSkew is how far the clocks of whoever lends and of this machine may be
	// apart.
	clockSkew = time.Second
	// maxLoans bounds each list of authors in the note; the oldest go first.
	maxLoans = 1000
)

// Lend says who has made changes that the watcher finds, or has found. It adds no
// change: what is watched and lent is reported once, whether the loan comes
// before the look or after it, twice, or not at all, and in whichever process. It
// stands in the store.
//
// A loan waits for its change for three times [Config.Lag], at least a minute,
// and a change for its author for [Config.AuthorWait]. What comes later is left
// out, counted in [Stats] and logged: its change has gone without. Of several
// authors between two looks the last one signs. Lending makes the watcher look.
//
// It fails with [ErrNoLending], and as the store does; then nothing was kept, and
// the same loans may be lent again.
func (w *Watcher) Lend(ctx context.Context, loans ...Loan) error {
	if !w.Borrows() {
		return ErrNoLending
	}
	for _, loan := range loans {
		if !loan.valid() {
			return errNoLoan
		}
	}
	var late []Loan
	err := w.amend(ctx, func(n *note) ([]webhook.Change, bool) {
		now, changed := time.Now(), false
		late = nil
		for _, loan := range loans {
			switch n.Lending.take(loan, now, w.terms()) {
			case loanRepeated:
			case loanLate:
				late, changed = append(late, loan), true
			default:
				changed = true
			}
		}
		return w.ready(n, now), changed
	})
	if err != nil {
		return fmt.Errorf("changes: lend an author: %w", err)
	}
	w.count(func(s *Stats) { s.Late += int64(len(late)) })
	for _, loan := range late {
		w.config.Logger.Warn("changes: an author came too late; the change has gone without", "source", w.config.Name, "flag", cut(loan.Flag, 2*maxShown))
	}
	w.Look()
	return nil
}

// terms are how long things wait.
type terms struct{ wait, keep, fresh time.Duration }

func (w *Watcher) terms() terms {
	return terms{w.config.AuthorWait, max(w.ownFor(), time.Minute), w.config.Interval + clockSkew}
}

// lending is what the note has of authors. Times are in microseconds of Unix
// time.
type lending struct {
	// Unsigned are changes that wait for their authors, in their order.
	Unsigned []unsigned `json:"unsigned,omitempty"`
	// Loans are authors that wait for their changes.
	Loans []lent `json:"loans,omitempty"`
	// Gone are changes that were reported.
	Gone []gone `json:"gone,omitempty"`
	// Heard are the loans that are known.
	Heard []heard `json:"heard,omitempty"`
}

// unsigned is a change that was found.
type unsigned struct {
	Flag    string         `json:"flag"`
	Action  webhook.Action `json:"action"`
	Version int64          `json:"version"` // of the note that it was found with
	At      int64          `json:"at"`      // when it was first seen
	Until   int64          `json:"until"`
	// Author is the best known so far, and Made when that one's change was made. The
	// zero Author is nobody, and known to be.
	Author *webhook.Author `json:"author,omitempty"`
	Made   int64           `json:"made,omitempty"`
}

type lent struct {
	Flag   string         `json:"flag,omitempty"`
	Author webhook.Author `json:"author"`
	At     int64          `json:"at"`
	Until  int64          `json:"until"`
}

type gone struct {
	Flag   string `json:"flag"`
	At     int64  `json:"at"`
	Signed bool   `json:"signed,omitempty"`
	Until  int64  `json:"until"`
}

type heard struct {
	ID    string `json:"id"`
	Until int64  `json:"until"`
}

func (l lending) clone() lending {
	return lending{slices.Clone(l.Unsigned), slices.Clone(l.Loans), slices.Clone(l.Gone), slices.Clone(l.Heard)}
}

// due is when there is something to do though nothing happens: a change has
// waited long enough, or an author, who must not be kept. Zero if never.
func (l lending) due() time.Time {
	first := int64(0)
	for _, u := range l.Unsigned {
		if first == 0 || u.Until < first {
			first = u.Until
		}
	}
	for _, loan := range l.Loans {
		if first == 0 || loan.Until < first {
			first = loan.Until
		}
	}
	if first == 0 {
		return time.Time{}
	}
	return time.UnixMicro(first)
}

// expire forgets what has waited for too long, and what is too much.
func (l *lending) expire(now time.Time) {
	at := now.UnixMicro()
	l.Loans = newest(slices.DeleteFunc(l.Loans, func(o lent) bool { return o.Until <= at }))
	l.Gone = newest(slices.DeleteFunc(l.Gone, func(o gone) bool { return o.Until <= at }))
	l.Heard = newest(slices.DeleteFunc(l.Heard, func(o heard) bool { return o.Until <= at }))
}

func newest[T any](list []T) []T { return list[max(len(list)-maxLoans, 0):] }

// fate is what becomes of a loan.
type fate int

const (
	loanKept fate = iota
	loanSigned
	loanLate
	loanRepeated
)

// take takes a loan: it signs a change that waits, or waits for one.
func (l *lending) take(loan Loan, now time.Time, t terms) fate {
	l.expire(now)
	if slices.ContainsFunc(l.Heard, func(h heard) bool { return h.ID == loan.ID }) {
		return loanRepeated
	}
	l.Heard = append(l.Heard, heard{loan.ID, now.Add(t.keep).UnixMicro()})
	at := loan.At
	if at.IsZero() {
		at = now
	}
	switch {
	case now.Sub(at) > t.keep:
		return loanLate
	case l.signWaiting(loan, at):
		return loanSigned
	case l.hasGone(loan, at):
		return loanLate
	}
	l.Loans = append(l.Loans, lent{loan.Flag, loan.Author, at.UnixMicro(), now.Add(t.keep).UnixMicro()})
	return loanKept
}

// signWaiting gives a loan to the change that it is about, if that waits: the
// first one that was seen after it was made, or just before by clocks that
// differ.
func (l *lending) signWaiting(loan Loan, at time.Time) bool {
	dated, made := !loan.At.IsZero(), at.UnixMicro()
	found := -1
	for i := range l.Unsigned {
		u := &l.Unsigned[i]
		switch {
		case loan.Flag != "" && u.Flag != loan.Flag, dated && u.At+clockSkew.Microseconds() < made:
			continue
		case loan.Flag == "":
			u.propose(loan.Author, made, dated)
			found = i
			continue
		case !dated && u.Author != nil:
			continue
		}
		found = i
		if !dated || u.At >= made {
			break
		}
	}
	if found >= 0 && loan.Flag != "" {
		l.Unsigned[found].propose(loan.Author, made, dated)
	}
	return found >= 0
}

// propose makes somebody the author, unless a later one is known.
func (u *unsigned) propose(author webhook.Author, made int64, dated bool) {
	if !dated {
		made = u.At
	}
	if u.Author == nil || u.Made < made {
		u.Author, u.Made = &author, made
	}
}

// hasGone reports whether the change that a loan is about was reported.
func (l *lending) hasGone(loan Loan, at time.Time) bool {
	i := slices.IndexFunc(l.Gone, func(g gone) bool {
		switch {
		case loan.Flag != "" && g.Flag != loan.Flag:
			return false
		case loan.At.IsZero():
			return !g.Signed
		case g.Signed:
			return at.UnixMicro() <= g.At
		}
		return at.UnixMicro() <= g.At+clockSkew.Microseconds()
	})
	if i >= 0 && loan.At.IsZero() {
		l.Gone = slices.Delete(l.Gone, i, i+1) // each goes without one author
	}
	return i >= 0
}

// borrow gives the loans that came before to changes that were just found, all at
// the same time.
func (l *lending) borrow(found []unsigned) {
	if len(found) == 0 {
		return
	}
	until := found[0].At + clockSkew.Microseconds()
	for i := range found {
		u := &found[i]
		for _, loan := range l.Loans {
			if loan.At <= until && (loan.Flag == u.Flag || loan.Flag == "") {
				u.propose(loan.Author, loan.At, true)
			}
		}
	}
	l.Loans = slices.DeleteFunc(l.Loans, func(loan lent) bool {
		return loan.At <= until && (loan.Flag == "" || slices.ContainsFunc(found, func(u unsigned) bool { return u.Flag == loan.Flag }))
	})
	l.Unsigned = append(l.Unsigned, found...)
}

// release returns the changes that need not wait any more: those that have their
// author, and those whose time is over. A flag's changes keep their order.
func (l *lending) release(now time.Time, t terms) []unsigned {
	var free []unsigned
	waits := map[string]bool{}
	l.Unsigned = slices.DeleteFunc(l.Unsigned, func(u unsigned) bool {
		// An author of long before may be that of something no difference shows:
		// there may be a better one.
		signed := u.Author != nil && u.Made >= u.At-t.fresh.Microseconds()
		if waits[u.Flag] || !signed && u.Until > now.UnixMicro() {
			waits[u.Flag] = true
			return false
		}
		free = append(free, u)
		if t.wait > 0 {
			l.Gone = append(l.Gone, gone{u.Flag, u.At, u.Author != nil, now.Add(t.keep).UnixMicro()})
		}
		return true
	})
	l.Gone = newest(l.Gone)
	return free
}

// sign makes changes of edits. Those whose author may still come are left in the
// note.
func (w *Watcher) sign(ctx context.Context, n *note, edits []Edit, at time.Time) []webhook.Change {
	now := time.Now()
	found := make([]unsigned, len(edits))
	for i, edit := range edits {
		found[i] = unsigned{
			Flag: edit.Flag, Action: edit.Action, Version: w.ledger.version + 1, At: at.UnixMicro(), Until: now.Add(w.config.AuthorWait).UnixMicro(),
		}
	}
	n.Lending.expire(now)
	n.Lending.borrow(found)
	for i := range n.Lending.Unsigned {
		u := &n.Lending.Unsigned[i]
		if j := i - (len(n.Lending.Unsigned) - len(found)); j >= 0 && (u.Author == nil || u.Author.ID == "") {
			if author := w.known(ctx, edits[j]); author != (webhook.Author{}) {
				u.Author, u.Made = &author, u.At
			}
		}
	}
	if w.ledger.first { // a baseline that is reported has no authors
		for i := range n.Lending.Unsigned {
			n.Lending.Unsigned[i].Until = 0
		}
	}
	return w.ready(n, now)
}

// ready takes out of the note what can be reported.
func (w *Watcher) ready(n *note, now time.Time) []webhook.Change {
	var report []webhook.Change
	for _, u := range n.Lending.release(now, w.terms()) {
		author := w.config.author()
		if u.Author != nil && u.Author.ID != "" {
			author = *u.Author
		}
		report = append(report, w.change(u, author))
	}
	return report
}

// known is who is known to have made a change. Nobody is where the function
// panics: the change is reported all the same.
func (w *Watcher) known(ctx context.Context, edit Edit) (author webhook.Author) {
	if w.config.Author == nil {
		return webhook.Author{}
	}
	defer func() {
		if cause := recover(); cause != nil {
			author = webhook.Author{}
			w.config.Logger.Error("changes: a change goes without its author", "source", w.config.Name,
				"flag", cut(edit.Flag, 2*maxShown), "err", panicked("Config.Author", cause).Error())
		}
	}()
	return w.config.Author(ctx, edit)
}

// settle reports what has waited for its author for long enough, whichever
// process has found it, and returns when there is something to do again; 0 if
// that is not known.
func (w *Watcher) settle(ctx context.Context) (again time.Duration) {
	l := &w.ledger
	if l.noted != nil {
		due := l.noted.Lending.due()
		if due.IsZero() {
			return 0
		}
		if wait := time.Until(due); wait > 0 {
			return wait
		}
	} else if time.Since(l.settledAt) < w.refresh() {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	l.settledAt, l.noted = time.Now(), nil
	if err := w.part(ctx, func(*unsigned) {}); err != nil {
		w.trouble(fmt.Errorf("changes: the store: %w", err))
	}
	return 0
}

// part reports what need not wait any more after a change to each that does.
func (w *Watcher) part(ctx context.Context, change func(*unsigned)) error {
	return w.amend(ctx, func(n *note) ([]webhook.Change, bool) {
		now, before := time.Now(), n.Lending.clone()
		for i := range n.Lending.Unsigned {
			change(&n.Lending.Unsigned[i])
		}
		n.Lending.expire(now)
		report := w.ready(n, now)
		return report, len(report) > 0 || len(n.Lending.Loans) != len(before.Loans)
	})
}

// partWithoutAuthors reports at the end what still waits: nobody may be there to
// do it later, and the store may be a process's own.
func (w *Watcher) partWithoutAuthors(ctx context.Context) {
	if !w.Borrows() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	if err := w.part(ctx, func(u *unsigned) { u.Until = 0 }); err != nil {
		w.config.Logger.Warn("changes: what waits for its author is reported at the next start", "source", w.config.Name, "err", err.Error())
	}
}
