package changes

import (
	"errors"
	"strings"
	"time"
)

const (
	// remindEvery is how often a problem that lasts is said again, and retellAfter
	// how soon one that was over and is there again.
	remindEvery = 10 * time.Minute
	retellAfter = time.Minute
	// maxKinds bounds how many kinds of problems are kept apart.
	maxKinds = 100
)

// complaint is what the log was told of problems, so that neither one that lasts,
// nor two in turn, nor one that comes and goes fills it.
type complaint struct {
	told   bool                 // of the present problem
	saidAt map[string]time.Time // by kind
}

// kindOf is what an error says without its numbers: ports, lines and addresses
// change each time.
func kindOf(err error) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, err.Error())
}

// due reports whether it is time to say what is wrong, and takes it as said then.
func (c *complaint) due(err error, now time.Time) bool {
	kind, every := kindOf(err), retellAfter
	if c.told {
		every = remindEvery
	}
	if said, ok := c.saidAt[kind]; ok && now.Sub(said) < every {
		return false
	}
	if c.saidAt == nil || len(c.saidAt) >= maxKinds {
		c.saidAt = map[string]time.Time{}
	}
	c.told, c.saidAt[kind] = true, now
	return true
}

// over reports whether it is time to say that all is well again.
func (c *complaint) over() bool {
	told := c.told
	c.told = false
	return told
}

// trouble says what is wrong.
func (w *Watcher) trouble(err error) {
	now, due := time.Now(), false
	w.count(func(s *Stats) {
		if s.Problem == nil {
			s.Since = now
		}
		s.Problem = err
		due = w.complaint.due(err, now)
	})
	if !due {
		return
	}
	consequence := "the last good snapshot stays; nothing is reported until this is mended"
	without, knows := w.config.Format.(starter)
	if nothing := errors.Is(err, ErrVanished) || errors.Is(err, ErrEmpty); nothing && knows {
		w.config.Logger.Error("changes: no document", "source", w.config.Name, "err", err.Error(), "evaluations", without.without(), "here", consequence)
		return
	}
	w.config.Logger.Error("changes: cannot look", "source", w.config.Name, "err", err.Error(), "here", consequence)
}

func (w *Watcher) fine() {
	over := false
	w.count(func(s *Stats) {
		s.Problem, s.Since = nil, time.Time{}
		over = w.complaint.over()
	})
	if over {
		w.config.Logger.Info("changes: can look again", "source", w.config.Name)
	}
}
