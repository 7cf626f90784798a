package killswitch

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// confirmWithin bounds the question to the store whether an alert is really not
// to act. To act nobody is asked.
const confirmWithin = 300 * time.Millisecond

// admission is a kill that is to be made.
type admission struct {
	asked
	journal *journal
	change  *change
	work    *work // of a flag that is switched off
	ended   *ended
}

// admit decides which of the kills are new and allowed, as far as this process
// knows, and begins with them: what switches off is under way when it returns.
// The journal has the last word, and gets it at the same time.
func (r *Relay) admit(ctx context.Context, body string, kills []asked, now time.Time) ([]*admission, Reason) {
	fresh := map[*journal]bool{}
	var admitted []*admission
	reason := ReasonActs
	for _, one := range kills {
		j := r.journals[one.toggler]
		if _, asked := fresh[j]; !asked {
			fresh[j] = j.meets(body, now)
		}
		if !fresh[j] {
			reason = ReasonRepeat
			continue
		}
		id, ended := itemID(body, one.kill.Target), newEnded()
		if one.kill.On {
			r.watched.Store(id, ended) // before it can be made
		}
		c, refused := r.propose(ctx, j, &one, id, now)
		if refused != "" {
			r.watched.Delete(id)
			reason = refused
			if refused == ReasonCap || refused == ReasonOvertaken {
				r.didNotAct([]asked{one}, refused)
			}
			continue
		}
		admitted = append(admitted, r.begin(&admission{asked: one, journal: j, change: c, ended: ended}))
	}
	if len(admitted) == 0 {
		return nil, reason
	}
	return admitted, ReasonActs
}

// propose admits a kill as far as this process knows. What it knows may be old
// when it says no: a person has restored the flag, from another process.
func (r *Relay) propose(ctx context.Context, j *journal, one *asked, id string, now time.Time) (*change, Reason) {
	c, reason := j.propose(one.kill, id, now)
	if reason == "" {
		return c, ""
	}
	ctx, cancel := context.WithTimeout(ctx, confirmWithin)
	defer cancel()
	if _, err := j.fresh(ctx, one.kill.note()); err != nil {
		return nil, reason
	}
	return j.propose(one.kill, id, now)
}

// begin switches a flag off at once; one that is switched on waits for its turn.
// In a dry run that is all there will ever be, so that nothing waits.
func (r *Relay) begin(one *admission) *admission {
	switch {
	case r.config.DryRun:
		r.works.Go(func() { r.pretend(one) })
	case !one.kill.On:
		one.work = &work{
			relay: r, journal: one.journal, toggler: r.config.Togglers[one.toggler], id: one.change.id, kill: one.kill, ended: one.ended,
		}
		r.works.Go(func() { one.work.direct(r.ctx, one.change) })
	}
	return one
}

// pretend settles a switch of a dry run.
func (r *Relay) pretend(one *admission) {
	r.watched.Delete(one.change.id)
	select {
	case <-one.change.written:
	case <-r.ctx.Done():
		return
	}
	if one.refused() == "" {
		// The store is the relay's own memory.
		_ = one.journal.settle(r.ctx, queue.Outcome{ID: one.change.id, State: queue.Done})
	}
}

// await waits, until the answer is due, for the journal to have the kills and for
// the flags to be switched, or never to be.
func (r *Relay) await(admitted []*admission, d Decision, deadline time.Time) Decision {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	late := false
	var acting []*admission
	for _, one := range admitted {
		select {
		case <-one.change.written:
		case <-one.change.late:
			late = true
		case <-timer.C:
			timer.Reset(0)
			late = true
		}
		if reason := one.refused(); reason != "" {
			d.Reason = reason
			if reason == ReasonOvertaken {
				r.didNotAct([]asked{one.asked}, reason)
			}
			continue
		}
		if late {
			r.report(reportOf(&one.kill, fmt.Errorf("%w to keep the switch in time; until it does, it is only in memory", ErrStore), 0))
		}
		acting = append(acting, one)
	}
	if len(acting) == 0 {
		return d
	}
	d.Verdict, d.Reason, d.Status = Acted, ReasonActs, http.StatusOK
	for _, one := range acting {
		select {
		case <-one.ended.done:
		case <-timer.C:
			timer.Reset(0)
		}
		if !one.ended.switched() {
			d.Status = http.StatusAccepted
		}
		r.watched.Delete(one.change.id)
	}
	return d.about(acting)
}

// refused says why the journal did not admit a kill; empty if it did, or has not
// answered.
func (a *admission) refused() Reason {
	select {
	case <-a.change.written:
		return a.change.result.reason
	default:
		return ""
	}
}

func (d Decision) about(admitted []*admission) Decision {
	d.Verdict = Acted
	for _, one := range admitted {
		d.Targets = append(d.Targets, one.kill.Target)
		if one.kill.On {
			d.SwitchOn = append(d.SwitchOn, one.kill.Target)
		}
	}
	return d
}

// meets reports whether a body is new here, and keeps it in mind.
func (j *journal) meets(body string, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seen.add(body, now, j.limits.maxAge)
}

// propose submits a kill to the journal unless something is known against it.
func (j *journal) propose(k kill, id string, now time.Time) (*change, Reason) {
	j.mu.Lock()
	defer j.mu.Unlock()
	note := k.note()
	view := j.flag(note).view
	if reason := view.refuses(&k, j.limits, now); reason != "" {
		return nil, reason
	}
	if len(j.unwrit) >= maxUnwritten {
		return nil, ReasonCap
	}
	landed := view.landed()
	c := &change{note: note, id: id, held: !k.On, apply: func(f *flagState) applied { return j.admit(f, k, id, landed) }}
	j.submit(c)
	return c, ""
}

// admit decides for a kill of a flag, unless what is known of that says otherwise.
// Landed is the switch-on that was over before this one began.
func (j *journal) admit(f *flagState, k kill, id, landed string) applied {
	if known := f.decided(id); known != nil { // it was written, and the store did not tell
		k.Order = known.Order
		return applied{kill: &k, id: id, inPlay: true}
	}
	now := time.Now()
	reason := f.refuses(&k, j.limits, now)
	if !k.On && f.On != nil && f.On.ID != landed && f.On.Kill.At.After(k.At) && f.On.Kill.after(&k) {
		reason = ReasonOvertaken // the store was away when this came, and a later alert was there first
	}
	switch {
	case reason == ReasonOvertaken && !k.On:
		// It is on its way already, and may be the later of the two to get there:
		// what has overtaken it is repeated.
		again := f.On.Kill
		again.Order, again.Again = f.On.Order, true
		return applied{reason: reason, kill: &again, id: itemID(f.On.ID+id, again.Target)}
	case reason == ReasonCap && !k.On: // that was asked before it began
	case reason != "":
		return applied{reason: reason}
	}
	result := applied{
		inPlay: !k.On && f.On != nil && f.On.ID != landed,
		alone:  f.Off == nil && f.On == nil && f.Killed == nil,
	}
	f.admit(&k, id, j.limits, now)
	result.kill, result.id = &k, id
	return result
}
