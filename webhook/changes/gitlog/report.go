package gitlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// ReportConfig says how [Report] does it.
type ReportConfig struct {
	// Client sends the changes. Required.
	Client *webhook.Client

	// Token reads Sentry's flag log back: that of a user or an internal
	// integration with the scope org:read, see [webhook.Client.Logs]. Without one
	// nothing is read back, and what is reported again stands in the log again.
	Token string

	// Settle is how long to wait after an answer that leaves open whether changes
	// were stored, before the log is read again: the server may still be at it.
	// Defaults to 15 s.
	Settle time.Duration

	// Patience is how long to go on while nothing gets through, for failures that
	// pass: no connection, a rate limit, an unclear answer. Defaults to 5 minutes.
	Patience time.Duration
}

// Reported is what became of changes.
type Reported struct {
	// Sent is how many are in the log now that were not, There how many were
	// there already.
	Sent, There int
	// Twice is how many of those that were sent stood in the log more than once
	// afterwards, because another report of the same was under way. Nothing takes
	// them out again. It is known with a token only.
	Twice int
	// Refused are those that Sentry does not take, with the reasons.
	Refused []Refusal
}

// Refusal is a change that was refused.
type Refusal struct {
	Change webhook.Change
	// Err is a [*webhook.ChangeError] or a [*webhook.RejectionError].
	Err error
}

const (
	// batch is how many changes go in one request.
	batch = 100
	// firstPause is how long to wait after a first failure; it doubles, up to
	// longestPause.
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// Report sends changes that happened in the past, in their order, and with a
// token only those that the log does not have: then it may be called again with
// the same changes, after a failure half-way as well, and each is in the log
// once. Two calls at the same time cannot know of each other, and at least one
// of them counts what they have repeated; let a pipeline run one after the other.
//
// An error means that some may not have been sent; what is counted was. Changes
// that Sentry refuses are no error, and keep back no others.
func Report(ctx context.Context, config ReportConfig, list ...webhook.Change) (Reported, error) {
	config.Settle = cmp.Or(config.Settle, 15*time.Second)
	config.Patience = cmp.Or(config.Patience, 5*time.Minute)
	switch {
	case config.Client == nil:
		return Reported{}, invalid("Client", "must be set")
	case config.Settle < 0 || config.Patience < 0:
		return Reported{}, invalid("Settle and Patience", "must not be negative")
	}
	s := sender{config: config, deadline: time.Now().Add(config.Patience), left: list}
	err := s.run(ctx)
	if err == nil {
		s.done.Twice = s.twice(ctx)
	}
	return s.done, err
}

// sender is a report under way.
type sender struct {
	config   ReportConfig
	deadline time.Time
	left     []webhook.Change // not known to be in the log
	checked  bool             // left was held against the log
	lacking  []webhook.Change // what the log did not have at first
	doubtful int              // how many of left the last request may have stored
	pause    time.Duration
	done     Reported
	size     int
}

func (s *sender) run(ctx context.Context) error {
	s.size = batch
	for len(s.left) > 0 {
		before := len(s.left)
		err := s.next(ctx)
		if len(s.left) < before {
			s.deadline = time.Now().Add(s.config.Patience)
		}
		if err == nil {
			s.pause = 0
			continue
		}
		if err := s.wait(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// next makes one step: the log is read, or some of the changes are sent.
func (s *sender) next(ctx context.Context) error {
	if s.config.Token != "" && !s.checked {
		missing, err := s.config.Client.Missing(ctx, s.config.Token, s.left...)
		if err != nil {
			return err
		}
		if s.lacking == nil {
			s.lacking = missing
		}
		found := len(s.left) - len(missing)
		ours := min(found, s.doubtful)
		s.done.Sent += ours
		s.done.There += found - ours
		s.left, s.checked, s.doubtful = missing, true, 0
		return nil
	}
	now := s.left[:min(s.size, len(s.left))]
	err := s.config.Client.Send(ctx, now...)
	switch {
	case err == nil:
		s.done.Sent += len(now)
		s.left = s.left[len(now):]
		return nil
	case errors.Is(err, webhook.ErrRefused) && len(now) > 1:
		s.size = (len(now) + 1) / 2
		return nil
	case unclear(err):
		s.checked, s.doubtful = false, len(now)
	}
	return s.without(now, err)
}

// unclear reports whether a failed request may have stored changes.
func unclear(err error) bool {
	return errors.Is(err, webhook.ErrAmbiguous) || errors.Is(err, webhook.ErrUnexpectedAnswer)
}

// without takes out what is refused. Any other error is returned.
func (s *sender) without(now []webhook.Change, err error) error {
	refused := map[int]error{}
	if invalid, ok := errors.AsType[*webhook.ChangeError](err); ok {
		refused[invalid.Index] = err
	} else if rejection, ok := errors.AsType[*webhook.RejectionError](err); ok && len(rejection.Changes) > 0 {
		for i, fields := range rejection.Changes {
			refused[i] = &webhook.RejectionError{Changes: map[int]webhook.Fields{0: fields}}
		}
	}
	if len(refused) == 0 {
		return err
	}
	rest := make([]webhook.Change, 0, len(s.left))
	for i, change := range s.left {
		if why, ok := refused[i]; ok && i < len(now) {
			s.done.Refused = append(s.done.Refused, Refusal{change, why})
			continue
		}
		rest = append(rest, change)
	}
	s.left = rest
	return nil
}

// twice reads the log once more, and counts what it has more often than it was
// reported. What cannot be read is not known.
func (s *sender) twice(ctx context.Context) int {
	if s.config.Token == "" || s.done.Sent == 0 {
		return 0
	}
	const second = "again"
	list := slices.Concat(s.lacking, s.lacking)
	for i := range s.lacking {
		list[len(s.lacking)+i].ItemID = second
	}
	missing, err := s.config.Client.Missing(ctx, s.config.Token, list...)
	if err != nil {
		return 0
	}
	return len(s.lacking) - len(slices.DeleteFunc(missing, func(c webhook.Change) bool { return c.ItemID != second }))
}

// wait waits after a failure that passes, for as long as there is patience.
func (s *sender) wait(ctx context.Context, failure error) error {
	s.pause = min(max(2*s.pause, firstPause), longestPause)
	pause := s.pause
	switch answer, _ := errors.AsType[*webhook.AnswerError](failure); {
	case ctx.Err() != nil:
		return s.failed(failure)
	case errors.Is(failure, webhook.ErrRateLimited):
		pause = max(pause, answer.RetryAfter)
	case errors.Is(failure, webhook.ErrUnreachable):
	case unclear(failure) && s.doubtful > 0 && s.config.Token != "":
		pause = max(pause, s.config.Settle)
	case unclear(failure):
	default:
		return s.failed(failure)
	}
	if time.Now().Add(pause).After(s.deadline) {
		return s.failed(failure)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return s.failed(context.Cause(ctx))
	case <-timer.C:
		return nil
	}
}

func (s *sender) failed(err error) error {
	again := "report them again: what has arrived is left out"
	if s.config.Token == "" {
		again = "reported again, those that have arrived stand in the log twice: set a token"
	}
	return fmt.Errorf("gitlog: %d changes sent, %d not or perhaps not; %s: %w", s.done.Sent, len(s.left), again, err)
}
