package vwo

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxSeen bounds how many bodies are remembered here; the oldest are forgotten
// first. Only authentic alerts that match a rule take a place.
const maxSeen = 100_000

type digest = [sha256.Size]byte

// memory is what one process remembers of the alerts that it has seen. The
// store remembers the bodies of accepted ones for longer and across processes.
type memory struct {
	maxAge   time.Duration
	coolDown time.Duration // 0 is none
	cap      int           // 0 is none

	mu     sync.Mutex
	seen   map[digest]struct{}
	order  []seenBody // oldest first
	flags  map[Target]*flagMemory
	recent []time.Time // acceptances of the last hour, oldest first
	// capReported is when the cap was last made a report of: one per hour does.
	capReported time.Time
}

type seenBody struct {
	digest digest
	at     time.Time
}

// flagMemory is what is remembered of one flag.
type flagMemory struct {
	// last is the newest signed time of an alert that switched the flag, by
	// direction.
	last map[bool]signedTime
	// cooling is when an alert may switch the flag again, by its identity and
	// action.
	cooling map[string]coolDown
}

type coolDown struct {
	until   time.Time
	enabled bool // what the alert has set
}

type signedTime struct {
	at       time.Time
	identity string
}

func newMemory(config RelayConfig) *memory {
	return &memory{
		maxAge:   config.MaxAge,
		coolDown: max(config.CoolDown, 0),
		cap:      max(config.CapPerHour, 0),
		seen:     map[digest]struct{}{},
		flags:    map[Target]*flagMemory{},
	}
}

// admit returns which of the kills are new, and remembers them.
func (m *memory) admit(a *alert, body digest, kills []kill, now time.Time) ([]kill, Reason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(now)
	if _, known := m.seen[body]; known {
		return nil, ReasonRepeat
	}
	m.see(body, now)

	identity := a.identity()
	var admitted []kill
	reason := ReasonActs
	for _, k := range kills {
		if r := m.flagReason(k, a, identity, now); r != "" {
			reason = r
			continue
		}
		if m.cap > 0 && len(m.recent)+len(admitted) >= m.cap {
			reason = ReasonCap
			continue
		}
		admitted = append(admitted, k)
	}
	if len(admitted) == 0 {
		return nil, reason
	}
	for _, k := range admitted {
		m.remember(k, a, identity, now)
	}
	return admitted, ReasonActs
}

func (m *memory) flagReason(k kill, a *alert, identity string, now time.Time) Reason {
	flag := m.flags[k.target()]
	if flag == nil {
		return ""
	}
	// Alerts can arrive out of order. A recovery that is older than any alarm
	// does not count; an alarm counts unless the same alert has recovered since.
	other, found := flag.last[!k.Enabled]
	if found && !other.at.Before(a.at) && (k.Enabled || other.identity == identity && other.at.After(a.at)) {
		return ReasonOvertaken
	}
	if now.Before(flag.cooling[identity+"\x00"+a.action].until) {
		return ReasonCoolingDown
	}
	return ""
}

func (m *memory) remember(k kill, a *alert, identity string, now time.Time) {
	if m.cap > 0 {
		m.recent = append(m.recent, now)
	}
	flag := m.flags[k.target()]
	if flag == nil {
		flag = &flagMemory{last: map[bool]signedTime{}, cooling: map[string]coolDown{}}
		m.flags[k.target()] = flag
	}
	if a.at.After(flag.last[k.Enabled].at) {
		flag.last[k.Enabled] = signedTime{a.at, identity}
	}
	// After a switch the other way the same alert is news again.
	for key, c := range flag.cooling {
		if c.enabled != k.Enabled {
			delete(flag.cooling, key)
		}
	}
	if m.coolDown > 0 {
		flag.cooling[identity+"\x00"+a.action] = coolDown{now.Add(m.coolDown), k.Enabled}
	}
}

// undo forgets that a flag was to be switched, so that the next alert tries
// again. The body stays known.
func (m *memory) undo(t Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if flag := m.flags[t]; flag != nil {
		clear(flag.cooling)
	}
}

// reportCap reports whether it is time to tell of the cap again.
func (m *memory) reportCap(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.capReported) < time.Hour {
		return false
	}
	m.capReported = now
	return true
}

// unsee forgets a body that was not accepted after all.
func (m *memory) unsee(body digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, body)
}

func (m *memory) see(body digest, now time.Time) {
	m.seen[body] = struct{}{}
	m.order = append(m.order, seenBody{body, now})
}

func (m *memory) forget(now time.Time) {
	// A body is worth remembering until its signed time is too old, which may
	// have been ahead when it came.
	keep := m.maxAge + 2*maxAhead
	n := 0
	for n < len(m.order) && (now.Sub(m.order[n].at) > keep || len(m.order)-n >= maxSeen) {
		delete(m.seen, m.order[n].digest)
		n++
	}
	m.order = m.order[n:]
	n = 0
	for n < len(m.recent) && now.Sub(m.recent[n]) >= time.Hour {
		n++
	}
	m.recent = m.recent[n:]
	for _, flag := range m.flags {
		for key, c := range flag.cooling {
			if !now.Before(c.until) {
				delete(flag.cooling, key)
			}
		}
	}
}
