package console

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// tally counts what was delivered in each minute of the last hour, whoever did it
// and whenever this process began: from the entries that the store keeps. Each
// entry is read once. It goes by their Seq, in which an emitter delivers.
type tally struct {
	mu      sync.Mutex
	minutes map[int64]int
	// newest and oldest are the Seqs between which all is counted.
	newest, oldest int64
	// whole says that what came before is older than an hour.
	whole bool
}

const (
	// tallyPage is how many entries are read at once, and tallyPages how often in
	// a row for what is new.
	tallyPage  = queue.MaxList
	tallyPages = 20
)

// update counts what has been delivered since, and a page of what was before
// until that is an hour ago.
func (t *tally) update(ctx context.Context, inspector *webhook.Inspector, now time.Time) (plot, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.minutes == nil {
		t.minutes = make(map[int64]int)
	}
	if err := t.forward(ctx, inspector); err != nil {
		return plot{}, err
	}
	if !t.whole {
		if err := t.backward(ctx, inspector, now); err != nil {
			return plot{}, err
		}
	}
	return t.plot(now), nil
}

func (t *tally) forward(ctx context.Context, inspector *webhook.Inspector) error {
	if t.newest == 0 {
		return nil // backward begins
	}
	for range tallyPages {
		done, err := inspector.List(ctx, queue.Filter{States: []queue.State{queue.Done}, After: t.newest, Limit: tallyPage})
		if err != nil {
			return err
		}
		for _, entry := range done {
			t.minutes[minuteOf(entry.Since)]++
			t.newest = entry.Seq
		}
		if len(done) < tallyPage {
			break
		}
	}
	return nil
}

func (t *tally) backward(ctx context.Context, inspector *webhook.Inspector, now time.Time) error {
	done, err := inspector.List(ctx, queue.Filter{States: []queue.State{queue.Done}, Before: t.oldest, Newest: true, Limit: tallyPage})
	if err != nil {
		return err
	}
	for _, entry := range done {
		if t.newest == 0 {
			t.newest = entry.Seq
		}
		t.oldest = entry.Seq
		t.minutes[minuteOf(entry.Since)]++
		t.whole = t.whole || now.Sub(entry.Since) > time.Hour
	}
	if len(done) < tallyPage {
		t.whole = t.newest != 0 // of an empty log the first page is still to come
	}
	return nil
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// plot is an hour of deliveries as it is drawn.
type plot struct {
	Bars  []bar
	Total int
	Most  int
	// From is where it begins if not an hour ago: what is before is not counted
	// yet.
	From time.Time
	// Width and Height are those of the drawing.
	Width, Height int
}

type bar struct {
	X, Y, Width, Height float64
	Label               string
}

const plotHeight, barWidth = 100, 10

func (t *tally) plot(now time.Time) plot {
	last := minuteOf(now)
	for minute := range t.minutes {
		if minute <= last-hour {
			delete(t.minutes, minute)
		}
	}
	p := plot{Width: hour * barWidth, Height: plotHeight}
	for minute := last - hour + 1; minute <= last; minute++ {
		p.Total += t.minutes[minute]
		p.Most = max(p.Most, t.minutes[minute])
	}
	for i := range hour {
		minute := last - hour + 1 + int64(i)
		n := t.minutes[minute]
		if n == 0 {
			continue
		}
		height := max(2, float64(n)/float64(p.Most)*plotHeight)
		p.Bars = append(p.Bars, bar{
			X: float64(i*barWidth) + 1, Y: plotHeight - height, Width: barWidth - 2, Height: height,
			Label: fmt.Sprintf("%s: %s delivered", time.Unix(minute*60, 0).UTC().Format("15:04"), grouped(n)),
		})
	}
	if !t.whole && t.newest != 0 {
		oldest := last
		for minute := range t.minutes {
			oldest = min(oldest, minute)
		}
		p.From = time.Unix(oldest*60, 0).UTC()
	}
	return p
}
