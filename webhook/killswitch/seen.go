package killswitch

import "time"

// maxSeen bounds how many items are remembered here; the oldest are forgotten
// first.
const maxSeen = 100_000

// seen remembers the bodies of alerts, by the first part of their items' IDs.
type seen struct {
	bodies map[string]struct{}
	order  []seenBody // oldest first
}

type seenBody struct {
	body string
	at   time.Time
}

// add keeps a body in mind, and reports whether it is new.
func (s *seen) add(body string, at time.Time, maxAge time.Duration) bool {
	if _, known := s.bodies[body]; known || body == "" {
		return false
	}
	if s.bodies == nil {
		s.bodies = map[string]struct{}{}
	}
	s.bodies[body] = struct{}{}
	s.order = append(s.order, seenBody{body, at})
	// A body is worth remembering until its signed time is too old, which may
	// have been ahead when it came.
	keep := maxAge + 2*maxAhead
	n, now := 0, time.Now()
	for n < len(s.order) && (len(s.order)-n > maxSeen || now.Sub(s.order[n].at) > keep) {
		delete(s.bodies, s.order[n].body)
		n++
	}
	s.order = s.order[n:]
	return true
}
