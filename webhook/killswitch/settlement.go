package killswitch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// maxSettled is how many items are settled at once; changes wait meanwhile.
const maxSettled = 200

// settlement is what became of an item, on its way to the store.
type settlement struct {
	outcome queue.Outcome
	done    chan error
}

// take holds the item of a work.
func (j *journal) take(w *work) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held[w.id] = w.seq
}

// holds reports whether this process is working on an item.
func (j *journal) holds(entry queue.Entry) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	seq, held := j.held[entry.ID]
	return held && (seq == 0 || seq == entry.Seq)
}

func (j *journal) renew(ctx context.Context) {
	j.mu.Lock()
	var outcomes []queue.Outcome
	for id, seq := range j.held {
		if seq == 0 {
			continue // its hold has just begun
		}
		outcomes = append(outcomes, queue.Outcome{ID: id, Seq: seq, State: queue.Waiting, Hold: true, After: j.hold})
	}
	j.mu.Unlock()
	if len(outcomes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(storeCall, j.hold/3))
	defer cancel()
	// One that fails lets another process go on, which is what a hold is for.
	_ = j.store.Settle(ctx, j.queue, j.owner, outcomes...)
}

// settle says what became of an item, until the store has taken it or ctx ends;
// then it has one more chance. It does not hold it any longer.
func (j *journal) settle(ctx context.Context, outcome queue.Outcome) error {
	s := &settlement{outcome, make(chan error, 1)}
	j.mu.Lock()
	j.place(s)
	ended := j.ended
	if !ended {
		j.unsettled = append(j.unsettled, s)
	}
	j.mu.Unlock()
	if !ended {
		time.AfterFunc(linger, j.wakeWriter) // nobody waits for it, so that others may join it
		select {
		case err := <-s.done:
			return err
		case <-ctx.Done(): // to say it twice does no harm
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCall)
	defer cancel()
	own := []*settlement{{outcome: outcome}}
	if err := j.find(last, own); err != nil {
		return err
	}
	return j.store.Settle(last, j.queue, j.owner, own[0].outcome)
}

// place names the Seq of an item, if it is known, and ends its hold. With the lock
// held.
func (j *journal) place(s *settlement) (known bool) {
	if s.outcome.Seq == 0 {
		s.outcome.Seq = j.held[s.outcome.ID]
	}
	if s.outcome.Seq == 0 {
		return false
	}
	delete(j.held, s.outcome.ID)
	return true
}

// find looks up the Seq of items that were not looked for when they were added: an
// alert need not wait for that.
func (j *journal) find(ctx context.Context, group []*settlement) error {
	missing := func() []*settlement {
		j.mu.Lock()
		defer j.mu.Unlock()
		return slices.DeleteFunc(slices.Clone(group), j.place)
	}
	if len(missing()) == 0 {
		return nil
	}
	j.mu.Lock()
	after := j.lastSeq
	j.mu.Unlock()
	if err := j.look(ctx, after, nil); err != nil {
		return err
	}
	for _, s := range missing() { // committed out of order
		listed, err := j.store.List(ctx, j.queue, queue.Filter{ID: s.outcome.ID, Limit: 1})
		if err != nil {
			return err
		}
		j.mu.Lock()
		if len(listed) > 0 {
			s.outcome.Seq = listed[0].Seq
		}
		delete(j.held, s.outcome.ID)
		j.mu.Unlock()
	}
	return nil
}

// settleSome settles some of what there is, and reports whether there was any.
func (j *journal) settleSome(ctx context.Context) (more bool, err error) {
	j.mu.Lock()
	group := slices.Clone(j.unsettled[:min(len(j.unsettled), maxSettled)])
	j.mu.Unlock()
	if len(group) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	if err := j.find(ctx, group); err != nil {
		return true, err
	}
	outcomes := make([]queue.Outcome, len(group))
	for i, s := range group {
		outcomes[i] = s.outcome
	}
	err = j.store.Settle(ctx, j.queue, j.owner, outcomes...)
	if errors.Is(err, queue.ErrInvalid) && len(group) > 1 {
		// One of them spoils the others: each for itself.
		for _, s := range group {
			if one := j.store.Settle(ctx, j.queue, j.owner, s.outcome); one == nil || errors.Is(one, queue.ErrInvalid) {
				j.isSettled(one, s)
			}
		}
		return true, ctx.Err()
	}
	j.fails(writes, err)
	if err != nil && !errors.Is(err, queue.ErrClosed) && !errors.Is(err, queue.ErrInvalid) {
		return true, err
	}
	j.isSettled(err, group...)
	return true, nil
}

// isSettled ends settlements.
func (j *journal) isSettled(err error, group ...*settlement) {
	j.mu.Lock()
	j.unsettled = slices.DeleteFunc(j.unsettled, func(s *settlement) bool { return slices.Contains(group, s) })
	j.mu.Unlock()
	for _, s := range group {
		s.done <- err
	}
}
