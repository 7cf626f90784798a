package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/typednil"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Inspector is an emitter's queue for people and their tools: what waits, what is
// dead and why, what was delivered, and how to mend it. It needs no emitter in
// its process and delivers nothing itself. It is safe for concurrent use.
type Inspector struct {
	store   queue.Store
	queues  []string // the emitter's, and then its former ones
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
	// FormerQueues are those of [EmitterConfig.FormerQueues]: what they hold is
	// listed, counted and mended as well. Defaults to none.
	FormerQueues []string
}

// NewInspector opens the queue of that name, for a process without the emitter;
// [Emitter.Inspector] is for one with it. It starts nothing, and the store stays
// the caller's. Its errors wrap [ErrInvalidConfig].
func NewInspector(store queue.Store, queueName string, config InspectorConfig) (*Inspector, error) {
	if store == nil || typednil.In(store) {
		return nil, invalidConfig("the store is nil")
	}
	queues := append([]string{queueName}, config.FormerQueues...)
	for i, name := range queues {
		if err := queue.ValidateName("queue", name); err != nil {
			return nil, invalidConfig("%v", err)
		}
		if slices.Contains(queues[:i], name) {
			return nil, invalidConfig("the queue %q is given twice", name)
		}
	}
	if config.MaxFlag < 0 {
		return nil, invalidConfig("MaxFlag must not be negative")
	}
	if config.OnWarning == nil {
		config.OnWarning = logWarning
	}
	return &Inspector{
		store: store, queues: queues,
		rules: rules{cmp.Or(config.MaxFlag, MaxFlag), config.ShownNames, config.OnWarning},
	}, nil
}

// Inspector returns the inspector of the emitter's queue, former ones included, by
// the rules of its client. What it corrects and replays is delivered at once.
func (e *Emitter) Inspector() *Inspector {
	return &Inspector{store: e.store, queues: append([]string{e.config.Queue}, e.config.FormerQueues...), rules: e.client.rules, emitter: e}
}

// Queue is the name of the queue, or empty if the inspector was not made by a
// constructor.
func (i *Inspector) Queue() string {
	if len(i.queues) == 0 {
		return ""
	}
	return i.queues[0]
}

// MaxFlag is the longest flag name, in code points, that a corrected change may
// have.
func (i *Inspector) MaxFlag() int { return i.rules.maxFlag }

// List reads entries: those that wait, the dead letters, and what was delivered
// or discarded, for as long as the store keeps that. See [DecodeItem] for what is
// in them. The key of an entry is its flag's name, unless that has more than
// [queue.MaxKey] bytes.
func (i *Inspector) List(ctx context.Context, filter queue.Filter) ([]queue.Entry, error) {
	filter, err := filter.WithDefaults()
	if err != nil {
		return nil, err
	}
	if len(i.queues) == 1 {
		return i.store.List(ctx, i.queues[0], filter)
	}
	var all []queue.Entry
	for _, name := range i.queues {
		entries, err := i.store.List(ctx, name, filter)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	slices.SortStableFunc(all, func(a, b queue.Entry) int {
		if filter.Newest {
			a, b = b, a
		}
		return cmp.Compare(a.Seq, b.Seq)
	})
	return all[:min(len(all), filter.Limit)], nil
}

// CountReasons counts the newest dead letters by their reason, most of each queue
// at the most: see [queue.CountReasons].
func (i *Inspector) CountReasons(ctx context.Context, most int) (counts []queue.ReasonCount, all bool, err error) {
	all = true
	for _, name := range i.queues {
		more, whole, err := queue.CountReasons(ctx, i.store, name, most)
		if err != nil {
			return nil, false, err
		}
		counts, all = queue.AddReasons(counts, more), all && whole
	}
	return counts, all, nil
}

// Stats counts what the queue holds, no further than most of what waits and of
// what is dead: see [queue.Store]. Without an emitter in this process only the
// numbers of the store are set.
func (i *Inspector) Stats(ctx context.Context, most int) (EmitterStats, error) {
	if i.emitter != nil {
		return i.emitter.stats(ctx, most, i.queues...)
	}
	var stats EmitterStats
	for _, name := range i.queues {
		if err := stats.count(ctx, i.store, name, most); err != nil {
			return stats, err
		}
	}
	return stats, nil
}

// OtherQueue is another queue of the store.
type OtherQueue struct {
	Name string
	// Waiting and Dead are what it holds, counted up to what was asked for, and
	// Oldest since when the oldest waits.
	Waiting, Dead int
	Oldest        time.Time
	// Held says that somebody works on it at the moment.
	Held bool
}

// Others are the other queues of the store in which something waits or is dead,
// counted no further than most: a former queue that is not named in
// [EmitterConfig.FormerQueues], or one of another emitter or kill switch, which
// has people of its own.
func (i *Inspector) Others(ctx context.Context, most int) ([]OtherQueue, error) {
	names, err := i.store.Queues(ctx)
	if err != nil {
		return nil, fmt.Errorf("webhook: other queues: %w", err)
	}
	var others []OtherQueue
	for _, name := range names {
		if slices.Contains(i.queues, name) {
			continue
		}
		stats, err := i.store.Stats(ctx, name, most)
		if err != nil {
			return nil, fmt.Errorf("webhook: other queues: %w", err)
		}
		others = append(others, OtherQueue{Name: name, Waiting: stats.Waiting, Dead: stats.Dead, Oldest: stats.Oldest, Held: stats.Held || stats.Rest > 0})
	}
	return others, nil
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
	if err := i.revise(ctx, dead, &item); err != nil {
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
	if err := i.revise(ctx, dead, nil); err != nil {
		return fmt.Errorf("webhook: replay: %w", err)
	}
	i.wake()
	return nil
}

// revise makes a dead entry wait again, in whichever of the queues it is.
func (i *Inspector) revise(ctx context.Context, dead queue.Entry, with *queue.Item) error {
	err := queue.ErrNotDead
	for _, name := range i.queues {
		if err = i.store.Revise(ctx, name, dead, with); !errors.Is(err, queue.ErrNotDead) {
			break
		}
	}
	return err
}

// Discard gives up changes that wait or are dead, and returns how many there
// still were. One that is on its way to Sentry at the moment may arrive.
func (i *Inspector) Discard(ctx context.Context, entries ...queue.Entry) (int, error) {
	all := 0
	for _, name := range i.queues {
		n, err := i.store.Discard(ctx, name, entries...)
		all += n
		if err != nil {
			return all, fmt.Errorf("webhook: discard: %w", err)
		}
	}
	return all, nil
}

// Resume ends a pause of the delivery, in all processes: somebody has mended what
// it was for, and what waits is tried at once.
func (i *Inspector) Resume(ctx context.Context) error {
	for _, name := range i.queues {
		if err := i.store.Resume(ctx, name); err != nil {
			return fmt.Errorf("webhook: resume: %w", err)
		}
	}
	i.wake()
	return nil
}

func (i *Inspector) wake() {
	if i.emitter != nil {
		i.emitter.Wake()
	}
}
