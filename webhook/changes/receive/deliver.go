package receive

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const (
	// maxWaiting and maxWaitingBytes bound what waits for the store.
	maxWaiting      = 1000
	maxWaitingBytes = 32 << 20

	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// delivery is a webhook on its way into the store.
type delivery struct {
	notice
	id       string
	received time.Time
	size     int64
	kept     chan struct{} // closed when it is in the store
	result   Result        // read after kept
}

// deliveries are the webhooks that wait for the store, in their order.
type deliveries struct {
	mu    sync.Mutex
	list  []*delivery
	bytes int64
	wake  chan struct{}
}

func (q *deliveries) init() { q.wake = make(chan struct{}, 1) }

func (q *deliveries) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

// add puts a webhook in line, and returns it, or the one with the same body that
// waits already. There may be no room.
func (q *deliveries) add(d *delivery, size int64) (*delivery, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, waiting := range q.list {
		if waiting.id == d.id {
			return waiting, true
		}
	}
	if len(q.list) >= maxWaiting || len(q.list) > 0 && q.bytes+size > maxWaitingBytes {
		return nil, false
	}
	d.size = size
	q.list, q.bytes = append(q.list, d), q.bytes+size
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return d, true
}

func (q *deliveries) first() *delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return nil
	}
	return q.list[0]
}

func (q *deliveries) remove(d *delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list, q.bytes = q.list[1:], q.bytes-d.size
}

// deliver puts what waits into the store, until the receiver is closed and
// nothing waits, or ctx ends.
func (r *Receiver) deliver(ctx context.Context) {
	backoff := minBackoff
	for {
		d := r.queue.first()
		if d == nil {
			select {
			case <-r.queue.wake:
				continue
			case <-ctx.Done():
				return
			case <-r.closing:
				if r.queue.len() == 0 {
					return
				}
				continue
			}
		}
		err := r.keep(ctx, d)
		if errors.Is(err, queue.ErrInvalid) {
			r.config.Logger.Error("receive: a webhook cannot be kept, and never will", "receiver", r.config.Name, "event", shown(d.event), "err", err.Error())
			d.result, err = Unreadable, nil
		}
		if err != nil {
			r.failing(err)
			select {
			case <-time.After(backoff):
			case <-ctx.Done():
				return
			}
			backoff = min(2*backoff, maxBackoff)
			continue
		}
		backoff = minBackoff
		r.queue.remove(d)
		r.fine()
		close(d.kept)
	}
}

// failing says that the store cannot be written.
func (r *Receiver) failing(err error) {
	now, say := time.Now(), false
	r.counts.mu.Lock()
	r.counts.stats.Problem, r.counts.stats.Waiting = fmt.Errorf("receive: the store: %w", err), r.queue.len()
	if say = now.Sub(r.counts.failing) >= remindEvery; say {
		r.counts.failing = now
	}
	r.counts.mu.Unlock()
	if say {
		r.config.Logger.Error("receive: the store does not take what came; it waits in memory", "receiver", r.config.Name, "webhooks", r.queue.len(), "err", err.Error())
	}
}

func (r *Receiver) fine() {
	failed := false
	r.counts.mu.Lock()
	failed = r.counts.stats.Problem != nil
	r.counts.stats.Problem, r.counts.stats.Waiting, r.counts.failing = nil, r.queue.len(), time.Time{}
	r.counts.mu.Unlock()
	if failed {
		r.config.Logger.Info("receive: the store takes what comes again", "receiver", r.config.Name)
	}
}

// keep puts what a webhook says into the store.
func (r *Receiver) keep(ctx context.Context, d *delivery) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.config.Patience)
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			err = errors.New("it panicked")
		}
	}()
	if len(r.config.Watchers) > 0 {
		return r.lend(ctx, d)
	}
	if _, ok := r.config.Product.(GoFeatureFlag); ok {
		return r.keepChain(ctx, d)
	}
	list := make([]webhook.Change, len(d.edits))
	for i, e := range d.edits {
		list[i] = r.change(e, d, d.id)
	}
	return r.add(ctx, d, list)
}

// lend gives the authors to the watchers.
func (r *Receiver) lend(ctx context.Context, d *delivery) error {
	loans, named := make([]changes.Loan, len(d.edits)), int64(0)
	for i, e := range d.edits {
		if e.author.ID != "" {
			named++
		}
		loans[i] = changes.Loan{ID: d.id + strconv.Itoa(i), Flag: e.flag, Author: e.author, At: e.at}
	}
	for _, watcher := range r.config.Watchers {
		if err := watcher.Lend(ctx, loans...); err != nil {
			return err
		}
	}
	d.result = Accepted
	r.counts.change(func(s *Stats) { s.Lent += named })
	r.told(d)
	return nil
}

// change is an edit as Sentry gets it. Its id is the same in each process and at
// each try.
func (r *Receiver) change(e edit, d *delivery, told string) webhook.Change {
	h := sha256.New()
	for _, part := range []string{r.config.Name, told, e.flag} {
		_ = binary.Write(h, binary.BigEndian, int64(len(part)))
		h.Write([]byte(part))
	}
	sum := h.Sum(nil)
	c := webhook.Change{
		Action: e.action, Flag: e.flag, CreatedBy: e.author, CreatedAt: e.at,
		ChangeID: max(int64(binary.BigEndian.Uint64(sum)>>1), 1),
		ItemID:   fmt.Sprintf("receive-%x", sum[:16]),
	}
	if c.CreatedBy.ID == "" {
		c.CreatedBy = webhook.Author{ID: r.config.Name, Type: webhook.AuthorName}
	}
	if c.CreatedAt.IsZero() {
		c.CreatedAt = d.received
	}
	return c
}

// add puts changes into the queue, and swaps a note in the same transaction. What
// Sentry would refuse is left out, and said.
func (r *Receiver) add(ctx context.Context, d *delivery, list []webhook.Change, notes ...queue.Note) error {
	items, refused, err := r.items(list)
	if err != nil {
		return err
	}
	added := 0
	if len(items) > 0 || len(notes) > 0 {
		if added, err = r.config.Store.Add(ctx, r.config.Emitter.Queue(), queue.Addition{Items: items, Notes: notes}); err != nil {
			return err
		}
	}
	switch {
	case added > 0:
		d.result = Accepted
		r.config.Emitter.Wake()
	case refused > 0:
		d.result, d.why = Ignored, "Sentry would refuse it; the log here says why"
	default:
		d.result = Repeated
	}
	r.counts.change(func(s *Stats) {
		s.Changes += int64(added)
		s.Refused += int64(refused)
	})
	r.told(d)
	return nil
}

func (r *Receiver) items(list []webhook.Change) (items []queue.Item, refused int, err error) {
	if len(list) == 0 {
		return nil, 0, nil
	}
	items, err = r.config.Emitter.Items(list...)
	if !errors.Is(err, webhook.ErrInvalidChange) {
		return items, 0, err
	}
	for _, change := range list {
		item, err := r.config.Emitter.Items(change)
		switch {
		case errors.Is(err, webhook.ErrInvalidChange):
			refused++
			r.config.Logger.Error("receive: a change cannot be reported", "receiver", r.config.Name, "action", string(change.Action), "flag", shown(change.Flag), "err", err.Error())
		case err != nil:
			return nil, 0, err
		default:
			items = append(items, item...)
		}
	}
	return items, refused, nil
}

// told logs what was kept.
func (r *Receiver) told(d *delivery) {
	const most = 10
	var flags []string
	for _, e := range d.edits[:min(len(d.edits), most)] {
		flags = append(flags, shown(e.flag))
	}
	r.config.Logger.Info("receive: "+string(d.result), "receiver", r.config.Name, "event", shown(d.event), "flags", flags, "of", len(d.edits))
}
