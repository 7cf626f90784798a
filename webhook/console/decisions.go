package console

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/visible"
)

// Decisions counts what was made of the alerts of the last hour, in this
// process. Its zero value is ready to use. Give each decision to Add, and the
// whole to [Config.Decisions].
type Decisions struct {
	mu      sync.Mutex
	minutes [hour]map[decision]int
	at      int64 // the newest minute
}

// hour is how many minutes are kept.
const hour = 60

type decision struct{ verdict, reason string }

// maxDecisions bounds how many kinds of decisions are told apart in a minute.
const maxDecisions = 100

// Add counts a decision: "acted", "ignored" or "refused", say, and why.
func (d *Decisions) Add(verdict, reason string) { d.add(verdict, reason, time.Now()) }

func (d *Decisions) add(verdict, reason string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(now)
	counts := &d.minutes[d.at%hour]
	if *counts == nil {
		*counts = make(map[decision]int)
	}
	kind := decision{visible.Cut(verdict, 100), visible.Cut(reason, 100)}
	if _, known := (*counts)[kind]; !known && len(*counts) >= maxDecisions {
		kind = decision{"others", ""}
	}
	(*counts)[kind]++
}

// turn drops what is older than an hour.
func (d *Decisions) turn(now time.Time) {
	minute := now.Unix() / 60
	for d.at < minute {
		d.at = max(d.at, minute-hour) + 1
		d.minutes[d.at%hour] = nil
	}
}

// decided is how often something was decided within the last hour.
type decided struct {
	Verdict, Reason string
	N               int
}

// counts are the decisions of the last hour, those that acted first.
func (d *Decisions) counts(now time.Time) []decided {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(now)
	sums := make(map[decision]int)
	for _, minute := range d.minutes {
		for kind, n := range minute {
			sums[kind] += n
		}
	}
	var all []decided
	for kind, n := range sums {
		all = append(all, decided{kind.verdict, kind.reason, n})
	}
	slices.SortFunc(all, func(a, b decided) int {
		return cmp.Or(strings.Compare(a.Verdict, b.Verdict), cmp.Compare(b.N, a.N), strings.Compare(a.Reason, b.Reason))
	})
	return all
}
