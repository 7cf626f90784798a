package webhook

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Inspector is an emitter's queue for people and their tools: what waits, what is
// dead and why, what was delivered, and how to mend it. It needs no emitter in
// its process and delivers nothing itself. It is safe for concurrent use.
type Inspector struct {
	store   queue.Store
	queue   string
	rules   rules
	emitter *Emitter // nil if it is not of this process
}

// InspectorConfig configures an [Inspector]. Its zero value is ready to use. What
// it has in common with [Config] should be set as there: by these rules a
// corrected change is checked.
type InspectorConfig struct {
	// MaxFlag is the longest flag name in code points: see [Config.MaxFlag].
	// Defaults to [MaxFlag].
	MaxFlag int
	// ShownNames is as [Config.ShownNames].
	ShownNames bool
	// OnWarning is called for a corrected change as [Config.OnWarning] is. Defaults
	// as there.
	OnWarning func(Warning)
}

// NewInspector opens the queue of that name, for a process without the emitter;
// [Emitter.Inspector] is for one with it. It starts nothing, and the store stays
// the caller's. Its errors wrap [ErrInvalidConfig].
func NewInspector(store queue.Store, queueName string, config InspectorConfig) (*Inspector, error) {
	if store == nil {
		return nil, invalidConfig("the store is nil")
	}
	if err := queue.ValidateName("queue", queueName); err != nil {
		return nil, invalidConfig("%v", err)
	}
	if config.MaxFlag < 0 {
		return nil, invalidConfig("MaxFlag must not be negative")
	}
	if config.OnWarning == nil {
		config.OnWarning = logWarning
	}
	return &Inspector{
		store: store, queue: queueName,
		rules: rules{cmp.Or(config.MaxFlag, MaxFlag), config.ShownNames, config.OnWarning},
	}, nil
}

// Inspector returns the inspector of the emitter's queue, by the rules of its
// client. What it corrects and replays is delivered at once.
func (e *Emitter) Inspector() *Inspector {
	return &Inspector{store: e.store, queue: e.config.Queue, rules: e.client.rules, emitter: e}
}

// Queue is the name of the queue.
func (i *Inspector) Queue() string { return i.queue }

// MaxFlag is the longest flag name, in code points, that a corrected change may
// have.
func (i *Inspector) MaxFlag() int { return i.rules.maxFlag }

// List reads entries: those that wait, the dead letters, and what was delivered
// or discarded, for as long as the store keeps that. See [DecodeItem] for what is
// in them. The key of an entry is its flag's name, unless that has more than
// [queue.MaxKey] bytes.
func (i *Inspector) List(ctx context.Context, filter queue.Filter) ([]queue.Entry, error) {
	return i.store.List(ctx, i.queue, filter)
}

// CountReasons counts the newest dead letters by their reason, most at the most:
// see [queue.CountReasons].
func (i *Inspector) CountReasons(ctx context.Context, most int) (counts []queue.ReasonCount, all bool, err error) {
	return queue.CountReasons(ctx, i.store, i.queue, most)
}

// Stats counts what the queue holds, no further than most of what waits and of
// what is dead: see [queue.Store]. Without an emitter in this process only the
// numbers of the store are set.
func (i *Inspector) Stats(ctx context.Context, most int) (EmitterStats, error) {
	if i.emitter != nil {
		return i.emitter.stats(ctx, most, i.queue)
	}
	var stats EmitterStats
	err := stats.count(ctx, i.store, i.queue, most)
	return stats, err
}

// Correct puts a change in the place of a dead one and has it delivered, after
// what waits already. It is checked as [Emitter.Emit] does, so that its error is
// a [*ChangeError] if Sentry would refuse it. A ChangeID or a CreatedAt that is
// zero stays as it was, and so does the ItemID in any case: the change is still
// known by it. An entry that is not dead, or not any more, is
// [queue.ErrNotDead]: somebody else was there before.
//
// What Sentry is to get is in the change returned, as it would be in
// [Inspector.Preview]'s.
func (i *Inspector) Correct(ctx context.Context, dead queue.Entry, change Change) (Change, error) {
	item, change, err := i.correction(dead, change)
	if err != nil {
		return Change{}, err
	}
	i.rules.warn([]Change{change}, time.Now())
	if err := i.store.Revise(ctx, i.queue, dead, &item); err != nil {
		return Change{}, fmt.Errorf("webhook: correct: %w", err)
	}
	i.wake()
	return change, nil
}

// Preview returns what [Inspector.Correct] would have delivered, or its error. It
// changes nothing and does not look whether the entry is still dead.
func (i *Inspector) Preview(dead queue.Entry, change Change) (Change, error) {
	_, change, err := i.correction(dead, change)
	return change, err
}

func (i *Inspector) correction(dead queue.Entry, change Change) (queue.Item, Change, error) {
	if before, err := DecodeItem(dead.Item); err == nil {
		change.ChangeID = cmp.Or(change.ChangeID, before.ChangeID)
		if change.CreatedAt.IsZero() {
			change.CreatedAt = before.CreatedAt
		}
	}
	change.ItemID = dead.ID
	encoded, change, err := i.rules.encode(change, time.Now())
	if err != nil {
		return queue.Item{}, Change{}, err
	}
	return queue.Item{ID: dead.ID, Key: itemKey(change.Flag), Body: encoded}, change, nil
}

// Replay has a dead change delivered again as it is, after what waits already:
// when the cause lay with the server and is gone. An entry that is not dead (any
// more) is [queue.ErrNotDead].
func (i *Inspector) Replay(ctx context.Context, dead queue.Entry) error {
	if err := i.store.Revise(ctx, i.queue, dead, nil); err != nil {
		return fmt.Errorf("webhook: replay: %w", err)
	}
	i.wake()
	return nil
}

// Discard gives up changes that wait or are dead, and returns how many there
// still were. One that is on its way to Sentry at the moment may arrive.
func (i *Inspector) Discard(ctx context.Context, entries ...queue.Entry) (int, error) {
	n, err := i.store.Discard(ctx, i.queue, entries...)
	if err != nil {
		return n, fmt.Errorf("webhook: discard: %w", err)
	}
	return n, nil
}

// Resume ends a pause of the delivery, in all processes: somebody has mended what
// it was for, and what waits is tried at once.
func (i *Inspector) Resume(ctx context.Context) error {
	if err := i.store.Resume(ctx, i.queue); err != nil {
		return fmt.Errorf("webhook: resume: %w", err)
	}
	i.wake()
	return nil
}

func (i *Inspector) wake() {
	if i.emitter != nil {
		i.emitter.Wake()
	}
}
