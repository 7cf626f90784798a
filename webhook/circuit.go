package webhook

import (
	"errors"
	"math/rand/v2"
	"time"
)

// circuit says how long to wait after a failure. There is one for the whole
// queue: an outage costs a few requests, however many changes wait.
type circuit struct {
	first, most time.Duration // the bounds of the wait
	failures    int           // in a row
}

// fail counts a failure and returns how long to wait.
func (c *circuit) fail(err error) time.Duration {
	c.failures++
	if answer, ok := errors.AsType[*AnswerError](err); ok && answer.RetryAfter > 0 {
		return answer.RetryAfter
	}
	if needsPerson(err) {
		return c.most
	}
	bound := c.first
	for range c.failures - 1 {
		if bound >= c.most/2 {
			bound = c.most
			break
		}
		bound *= 2
	}
	return rand.N(max(bound, 1)) + 1
}

// succeed reports whether this success ends a row of failures.
func (c *circuit) succeed() bool {
	resumed := c.failures > 0
	c.failures = 0
	return resumed
}

// needsPerson reports whether a failure lasts until somebody corrects the
// configuration.
func needsPerson(err error) bool {
	for _, kind := range []error{ErrRedirected, ErrUnauthorized, ErrNotFound, ErrMisdirected} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
