package killswitch

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/alert"
)

// Standing is what earlier switches of a flag mean for the next alert.
type Standing struct {
	Target Target
	// Switched is how often the flag was switched within the last hour, if there
	// is a cap.
	Switched int
	// CapUntil is when an alert may switch the flag off again; zero if the cap is
	// not reached.
	CapUntil time.Time
	// CoolDowns are alerts that do not switch the flag again for a while.
	CoolDowns []CoolDown
}

// CoolDown is an alert that does not switch a flag again before Until, unless the
// flag is restored or switched the other way. The journal does not keep its name.
type CoolDown struct {
	Trigger Trigger
	On      bool
	Until   time.Time

	cools string
}

// Of reports whether the cool-down is that of an alert.
func (c CoolDown) Of(a *alert.Alert) bool {
	k := kill{Identity: identity(a), Trigger: Trigger(a.Trigger())}
	return c.cools == k.cools()
}

// Standing says of each flag that was switched lately what a relay with this
// [Config.CoolDown] and [Config.CapPerHour] would hold against the next alert, by
// the flags' targets. 0 stands for their defaults, -1 for none.
// Its errors are the store's, and one for a note that a newer relay has written.
func (j *Journal) Standing(ctx context.Context, coolDown time.Duration, capPerHour int) ([]Standing, error) {
	flags, err := j.flags(ctx)
	if err != nil {
		return nil, err
	}
	config := Config{CoolDown: coolDown, CapPerHour: capPerHour}.withDefaults()
	l := limits{maxAge: longestMaxAge, coolDown: max(config.CoolDown, 0), cap: max(config.CapPerHour, 0)}
	var all []Standing
	for _, f := range flags {
		f.forget(l, time.Now())
		one := Standing{Switched: len(f.Hits)}
		switch {
		case f.Killed != nil:
			one.Target = f.Killed.Kill.Target
		case f.Off != nil:
			one.Target = f.Off.Kill.Target
		case f.On != nil:
			one.Target = f.On.Kill.Target
		default:
			continue
		}
		if l.cap > 0 && len(f.Hits) >= l.cap {
			one.CapUntil = f.Hits[len(f.Hits)-l.cap].Add(time.Hour)
		}
		for _, c := range f.Cooling {
			_, trigger, _ := strings.Cut(c.Alert, "\x00")
			one.CoolDowns = append(one.CoolDowns, CoolDown{Trigger: Trigger(trigger), On: c.On, Until: c.Since.Add(l.coolDown), cools: c.Alert})
		}
		if one.Switched > 0 || len(one.CoolDowns) > 0 {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Standing) int { return strings.Compare(a.Target.String(), b.Target.String()) })
	return all, nil
}

// flags reads the notes that the relays swap.
func (j *Journal) flags(ctx context.Context) ([]*flagState, error) {
	notes, err := j.store.Notes(ctx, j.queue)
	if err != nil {
		return nil, err
	}
	var all []*flagState
	for _, note := range notes {
		if !strings.HasPrefix(note.Name, flagNote) {
			continue
		}
		f, err := decodeFlag(note.Name, note.Body)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}
