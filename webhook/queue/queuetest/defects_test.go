package queuetest_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// defects are stores that break one promise each, with the test of the suite
// that has to find it.
var defects = map[string]struct {
	found string
	store func(*queue.Memory) queue.Store
}{
	"forgets order":                     {"Order", altered(broken{add: addReversed})},
	"takes for good":                    {"DueChangesNothing", altered(broken{due: dueAndDone})},
	"passes over one":                   {"DueChangesNothing", altered(broken{due: dueTooFar})},
	"keeps the caller's body":           {"Contents", sharing},
	"counts repeats":                    {"Known", altered(broken{add: addCountsAll})},
	"forgets an ID once it is done":     {"Known", altered(broken{add: addForgetful})},
	"adds the good ones":                {"Limits", altered(broken{add: addLenient})},
	"ignores contexts":                  {"Contexts", altered(broken{add: addHasty})},
	"outlives its end":                  {"Closed", altered(broken{lease: leaseAfterTheEnd})},
	"refuses done from others":          {"DoneByAnybody", altered(broken{settle: settleOwnersOnly})},
	"takes done without its Seq":        {"DoneBySeq", altered(broken{settle: settleByID(queue.Done)})},
	"takes a stale done":                {"ReviseLeavesTheOldBehind", altered(broken{settle: settleByID(queue.Done)})},
	"takes a stale dead":                {"ReviseLeavesTheOldBehind", altered(broken{settle: settleByID(queue.Dead)})},
	"takes a stale later":               {"ReviseLeavesTheOldBehind", altered(broken{settle: settleByID(queue.Waiting)})},
	"settles for who does not own":      {"OwnersSettle", altered(broken{settle: settleForTheOwner})},
	"loses the reason":                  {"Reasons", altered(broken{settle: settleMute})},
	"puts off for nothing":              {"PutOff", altered(broken{settle: settleAtOnce})},
	"ignores holds":                     {"Holds", altered(broken{add: addFree})},
	"never ends a hold":                 {"HoldsEnd", altered(broken{add: addForEver})},
	"returns held ones":                 {"Holds", altered(broken{due: dueAll})},
	"gives a lease to all":              {"LeaseIsExclusive", altered(broken{lease: leaseToAll})},
	"never ends a lease":                {"LeaseEnds", altered(broken{lease: leaseForEver})},
	"prolongs a lease for who asks":     {"LeaseEnds", altered(broken{lease: leaseProlonged})},
	"takes a lease back from others":    {"LeaseReleased", altered(broken{release: releaseForAll})},
	"forgets to rest":                   {"Rest", altered(broken{release: releaseRestless})},
	"rests on":                          {"Resume", func(m *queue.Memory) queue.Store { return restless{m} }},
	"revises what is not dead":          {"Revise", altered(broken{revise: reviseQuietly})},
	"revises to what it was":            {"Revise", altered(broken{revise: reviseAsItWas})},
	"keeps the Seq of what was revised": {"ReviseLeavesTheOldBehind", func(m *queue.Memory) queue.Store { return newRenumbered(m, keepSeq) }},
	"uses a Seq again":                  {"SeqIsNew", func(m *queue.Memory) queue.Store { return newRenumbered(m, reuseSeq) }},
	"discards by ID":                    {"Discard", altered(broken{discard: discardByID})},
	"pages from the wrong end":          {"List", altered(broken{list: listOldest})},
	"lists all states":                  {"List", altered(broken{list: listAll})},
	"empties what is done":              {"SettledAreKept", altered(broken{list: listEmpty})},
	"sweeps the dead":                   {"Sweep", altered(broken{sweep: sweepTheDead})},
	"sweeps without bounds":             {"Sweep", altered(broken{sweep: sweepAll})},
	"does not compare a note":           {"Notes", altered(broken{add: addOverwriting})},
	"swaps notes one by one":            {"SeveralNotes", altered(broken{add: addNoteByNote})},
	"swaps the note without the items":  {"NoteAndItems", altered(broken{add: addNoteFirst})},
	"adds the items without the note":   {"NoteAndItems", altered(broken{add: addItemsFirst})},
	"compares a note before the swap":   {"NoteRace", altered(broken{add: addComparing})},
	"does not see who works":            {"Stats", altered(broken{lease: leaseElsewhere})},
	"counts all that there is":          {"Stats", func(m *queue.Memory) queue.Store { return tireless{m} }},
}

// tireless does not stop counting.
type tireless struct{ *queue.Memory }

func (s tireless) Stats(ctx context.Context, name string, most int) (queue.Stats, error) {
	return s.Memory.Stats(ctx, name, min(most, 0))
}

// broken replaces calls of a store.
type broken struct {
	add     func(*alteredStore, context.Context, string, queue.Addition) (int, error)
	lease   func(*alteredStore, context.Context, string, string, time.Duration) (time.Duration, error)
	release func(*alteredStore, context.Context, string, string, time.Duration) error
	due     func(*alteredStore, context.Context, string, int64, int) ([]queue.Entry, error)
	settle  func(*alteredStore, context.Context, string, string, []queue.Outcome) error
	list    func(*alteredStore, context.Context, string, queue.Filter) ([]queue.Entry, error)
	revise  func(*alteredStore, context.Context, string, queue.Entry, *queue.Item) error
	discard func(*alteredStore, context.Context, string, []queue.Entry) (int, error)
	sweep   func(*alteredStore, context.Context, int) (int, error)
}

// alteredStore is a store with a defect. It notes who has asked for a lease.
type alteredStore struct {
	*queue.Memory
	broken broken

	mu     sync.Mutex
	owners map[string]string
}

func altered(b broken) func(*queue.Memory) queue.Store {
	return func(m *queue.Memory) queue.Store {
		return &alteredStore{Memory: m, broken: b, owners: make(map[string]string)}
	}
}

func (s *alteredStore) owner(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owners[name]
}

func (s *alteredStore) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	if s.broken.add != nil {
		return s.broken.add(s, ctx, name, a)
	}
	return s.Memory.Add(ctx, name, a)
}

func (s *alteredStore) Lease(ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	if s.broken.lease != nil {
		return s.broken.lease(s, ctx, name, owner, ttl)
	}
	wait, err := s.Memory.Lease(ctx, name, owner, ttl)
	if wait == 0 && err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.owners[name] = owner
	}
	return wait, err
}

func (s *alteredStore) Release(ctx context.Context, name, owner string, rest time.Duration) error {
	if s.broken.release != nil {
		return s.broken.release(s, ctx, name, owner, rest)
	}
	return s.Memory.Release(ctx, name, owner, rest)
}

func (s *alteredStore) Due(ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	if s.broken.due != nil {
		return s.broken.due(s, ctx, name, after, limit)
	}
	return s.Memory.Due(ctx, name, after, limit)
}

func (s *alteredStore) Settle(ctx context.Context, name, owner string, outcomes ...queue.Outcome) error {
	if s.broken.settle != nil {
		return s.broken.settle(s, ctx, name, owner, slices.Clone(outcomes))
	}
	return s.Memory.Settle(ctx, name, owner, outcomes...)
}

func (s *alteredStore) List(ctx context.Context, name string, filter queue.Filter) ([]queue.Entry, error) {
	if s.broken.list != nil {
		return s.broken.list(s, ctx, name, filter)
	}
	return s.Memory.List(ctx, name, filter)
}

func (s *alteredStore) Revise(ctx context.Context, name string, e queue.Entry, with *queue.Item) error {
	if s.broken.revise != nil {
		return s.broken.revise(s, ctx, name, e, with)
	}
	return s.Memory.Revise(ctx, name, e, with)
}

func (s *alteredStore) Discard(ctx context.Context, name string, entries ...queue.Entry) (int, error) {
	if s.broken.discard != nil {
		return s.broken.discard(s, ctx, name, slices.Clone(entries))
	}
	return s.Memory.Discard(ctx, name, entries...)
}

func (s *alteredStore) Sweep(ctx context.Context, limit int) (int, error) {
	if s.broken.sweep != nil {
		return s.broken.sweep(s, ctx, limit)
	}
	return s.Memory.Sweep(ctx, limit)
}

func addReversed(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	a.Items = slices.Clone(a.Items)
	slices.Reverse(a.Items)
	return s.Memory.Add(ctx, name, a)
}

func addCountsAll(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	_, err := s.Memory.Add(ctx, name, a)
	return len(a.Items), err
}

// addForgetful gives what is done another ID, so that it is known no more.
func addForgetful(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	for _, item := range a.Items {
		done, err := s.Memory.List(ctx, name, queue.Filter{ID: item.ID, States: []queue.State{queue.Done}})
		if err == nil && len(done) > 0 {
			return 1, nil
		}
	}
	return s.Memory.Add(ctx, name, a)
}

func addLenient(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	added, failures := 0, error(nil)
	for _, item := range a.Items {
		n, err := s.Memory.Add(ctx, name, queue.Addition{Items: []queue.Item{item}})
		failures = errors.Join(failures, err)
		added += n
	}
	return added, failures
}

func addHasty(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	return s.Memory.Add(context.WithoutCancel(ctx), name, a)
}

func addFree(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	a.Owner, a.Hold = "", 0
	return s.Memory.Add(ctx, name, a)
}

func addForEver(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	a.Hold *= 1000
	return s.Memory.Add(ctx, name, a)
}

func addOverwriting(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	a.Notes = slices.Clone(a.Notes)
	for i := range a.Notes {
		note, err := s.Note(ctx, name, a.Notes[i].Name)
		if err != nil {
			return 0, err
		}
		a.Notes[i].Version = note.Version
	}
	return s.Memory.Add(ctx, name, a)
}

func addNoteFirst(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	if _, err := s.Memory.Add(ctx, name, queue.Addition{Notes: a.Notes}); err != nil {
		return 0, err
	}
	a.Notes = nil
	return s.Memory.Add(ctx, name, a)
}

func addItemsFirst(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	notes := a.Notes
	a.Notes = nil
	added, err := s.Memory.Add(ctx, name, a)
	if err == nil {
		_, err = s.Memory.Add(ctx, name, queue.Addition{Notes: notes})
	}
	return added, err
}

// addNoteByNote swaps those before one that is stale.
func addNoteByNote(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	if len(a.Notes) < 2 {
		return s.Memory.Add(ctx, name, a)
	}
	for _, note := range a.Notes {
		if _, err := s.Memory.Add(ctx, name, queue.Addition{Notes: []queue.Note{note}}); err != nil {
			return 0, err
		}
	}
	return s.Memory.Add(ctx, name, queue.Addition{Items: a.Items, Owner: a.Owner, Hold: a.Hold})
}

// addComparing compares the version in one call and swaps in another.
func addComparing(s *alteredStore, ctx context.Context, name string, a queue.Addition) (int, error) {
	for _, one := range a.Notes {
		note, err := s.Note(ctx, name, one.Name)
		if err == nil && note.Version != one.Version {
			err = queue.ErrNoteChanged
		}
		if err != nil {
			return 0, err
		}
	}
	time.Sleep(time.Millisecond)
	return addOverwriting(s, ctx, name, a)
}

func leaseAfterTheEnd(s *alteredStore, ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	wait, err := s.Memory.Lease(ctx, name, owner, ttl)
	if errors.Is(err, queue.ErrClosed) {
		err = nil
	}
	return wait, err
}

func leaseToAll(_ *alteredStore, ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	return 0, cmp.Or(ctx.Err(), queue.ValidateLease(name, owner, ttl))
}

func leaseForEver(s *alteredStore, ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	return s.Memory.Lease(ctx, name, owner, 1000*ttl)
}

func leaseProlonged(s *alteredStore, ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	wait, err := s.Memory.Lease(ctx, name, owner, ttl)
	if err != nil {
		return wait, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait == 0 {
		s.owners[name] = owner
		return 0, nil
	}
	_, err = s.Memory.Lease(ctx, name, s.owners[name], ttl)
	return wait, err
}

func leaseElsewhere(s *alteredStore, ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	return s.Memory.Lease(ctx, name+" ", owner, ttl)
}

func releaseForAll(s *alteredStore, ctx context.Context, name, _ string, rest time.Duration) error {
	return s.Memory.Release(ctx, name, cmp.Or(s.owner(name), "nobody"), rest)
}

func releaseRestless(s *alteredStore, ctx context.Context, name, owner string, _ time.Duration) error {
	return s.Memory.Release(ctx, name, owner, 0)
}

func dueAndDone(s *alteredStore, ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	entries, err := s.Memory.Due(ctx, name, after, limit)
	for _, e := range entries {
		err = errors.Join(err, s.Memory.Settle(ctx, name, "taker", queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Done}))
	}
	return entries, err
}

func dueTooFar(s *alteredStore, ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	if after > 0 {
		after++
	}
	return s.Memory.Due(ctx, name, after, limit)
}

func dueAll(s *alteredStore, ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	if limit < 1 {
		return nil, nil
	}
	return s.Memory.List(ctx, name, queue.Filter{States: []queue.State{queue.Waiting}, After: after, Limit: limit})
}

// settleByID takes outcomes of one state for what an ID is now.
func settleByID(state queue.State) func(*alteredStore, context.Context, string, string, []queue.Outcome) error {
	return func(s *alteredStore, ctx context.Context, name, owner string, outcomes []queue.Outcome) error {
		for i, o := range outcomes {
			if e, err := s.Memory.List(ctx, name, queue.Filter{ID: o.ID}); o.State == state && o.ID != "" && err == nil && len(e) == 1 {
				outcomes[i].Seq = e[0].Seq
			}
		}
		return s.Memory.Settle(ctx, name, owner, outcomes...)
	}
}

func settleOwnersOnly(s *alteredStore, ctx context.Context, name, owner string, outcomes []queue.Outcome) error {
	if owner != s.owner(name) {
		return nil
	}
	return s.Memory.Settle(ctx, name, owner, outcomes...)
}

func settleForTheOwner(s *alteredStore, ctx context.Context, name, owner string, outcomes []queue.Outcome) error {
	return s.Memory.Settle(ctx, name, cmp.Or(s.owner(name), owner), outcomes...)
}

func settleMute(s *alteredStore, ctx context.Context, name, owner string, outcomes []queue.Outcome) error {
	for i := range outcomes {
		outcomes[i].Reason = ""
	}
	return s.Memory.Settle(ctx, name, owner, outcomes...)
}

func settleAtOnce(s *alteredStore, ctx context.Context, name, owner string, outcomes []queue.Outcome) error {
	for i := range outcomes {
		if !outcomes[i].Hold {
			outcomes[i].After = 0
		}
	}
	return s.Memory.Settle(ctx, name, owner, outcomes...)
}

func listOldest(s *alteredStore, ctx context.Context, name string, filter queue.Filter) ([]queue.Entry, error) {
	newest := filter.Newest
	filter.Newest = false
	entries, err := s.Memory.List(ctx, name, filter)
	if newest {
		slices.Reverse(entries)
	}
	return entries, err
}

func listAll(s *alteredStore, ctx context.Context, name string, filter queue.Filter) ([]queue.Entry, error) {
	filter.States = nil
	return s.Memory.List(ctx, name, filter)
}

func listEmpty(s *alteredStore, ctx context.Context, name string, filter queue.Filter) ([]queue.Entry, error) {
	entries, err := s.Memory.List(ctx, name, filter)
	for i := range entries {
		if entries[i].State == queue.Done {
			entries[i].Body = nil
		}
	}
	return entries, err
}

func reviseQuietly(s *alteredStore, ctx context.Context, name string, e queue.Entry, with *queue.Item) error {
	err := s.Memory.Revise(ctx, name, e, with)
	if errors.Is(err, queue.ErrNotDead) {
		return nil
	}
	return err
}

func reviseAsItWas(s *alteredStore, ctx context.Context, name string, e queue.Entry, _ *queue.Item) error {
	return s.Memory.Revise(ctx, name, e, nil)
}

func discardByID(s *alteredStore, ctx context.Context, name string, entries []queue.Entry) (int, error) {
	for i, e := range entries {
		if now, err := s.Memory.List(ctx, name, queue.Filter{ID: e.ID}); err == nil && len(now) == 1 {
			entries[i].Seq = now[0].Seq
		}
	}
	return s.Memory.Discard(ctx, name, entries...)
}

func sweepTheDead(s *alteredStore, ctx context.Context, limit int) (int, error) {
	dead, err := s.Memory.List(ctx, "queuetest", queue.Filter{States: []queue.State{queue.Dead}})
	if err == nil {
		_, err = s.Memory.Discard(ctx, "queuetest", dead...)
	}
	n, sweepErr := s.Memory.Sweep(ctx, limit)
	return n, errors.Join(err, sweepErr)
}

func sweepAll(s *alteredStore, ctx context.Context, limit int) (int, error) {
	if limit < 1 {
		return 0, nil
	}
	return s.Memory.Sweep(ctx, 1<<20)
}

// sharing hands out the bodies that it was given.
func sharing(m *queue.Memory) queue.Store { return &sharingStore{Memory: m} }

type sharingStore struct {
	*queue.Memory
	bodies sync.Map // item ID to body
}

func (s *sharingStore) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	for _, item := range a.Items {
		s.bodies.Store(item.ID, item.Body)
	}
	return s.Memory.Add(ctx, name, a)
}

func (s *sharingStore) Due(ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	entries, err := s.Memory.Due(ctx, name, after, limit)
	for i := range entries {
		body, _ := s.bodies.Load(entries[i].ID)
		entries[i].Body, _ = body.([]byte)
	}
	return entries, err
}

// renumbered gives entries numbers of its own.
type renumbered struct {
	*queue.Memory
	next func(shown map[string]shownSeq, id string) int64

	mu    sync.Mutex
	shown map[string]shownSeq // by item ID
}

type shownSeq struct{ real, shown int64 }

func newRenumbered(m *queue.Memory, next func(map[string]shownSeq, string) int64) queue.Store {
	return &renumbered{Memory: m, next: next, shown: make(map[string]shownSeq)}
}

// reuseSeq is one above the highest that is there, as SQLite numbers rows.
func reuseSeq(shown map[string]shownSeq, _ string) int64 {
	highest := int64(0)
	for _, s := range shown {
		highest = max(highest, s.shown)
	}
	return highest + 1
}

// keepSeq is what the ID had before.
func keepSeq(shown map[string]shownSeq, id string) int64 {
	if s, ok := shown[id]; ok {
		return s.shown
	}
	return reuseSeq(shown, id)
}

// look numbers what is there, and forgets what is not.
func (r *renumbered) look(ctx context.Context, name string) {
	entries, err := r.Memory.List(ctx, name, queue.Filter{Limit: queue.MaxList})
	if err != nil {
		return
	}
	there := make(map[string]bool)
	for _, e := range entries {
		there[e.ID] = true
		if s, ok := r.shown[e.ID]; !ok || s.real != e.Seq {
			r.shown[e.ID] = shownSeq{e.Seq, r.next(r.shown, e.ID)}
		}
	}
	for id := range r.shown {
		if !there[id] {
			delete(r.shown, id)
		}
	}
}

func (r *renumbered) real(ctx context.Context, name, id string, shown int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look(ctx, name)
	if s := r.shown[id]; s.shown == shown {
		return s.real
	}
	return -1
}

func (r *renumbered) show(ctx context.Context, name string, entries []queue.Entry) []queue.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look(ctx, name)
	for i, e := range entries {
		entries[i].Seq = r.shown[e.ID].shown
	}
	return entries
}

func (r *renumbered) Due(ctx context.Context, name string, _ int64, limit int) ([]queue.Entry, error) {
	entries, err := r.Memory.Due(ctx, name, 0, limit)
	return r.show(ctx, name, entries), err
}

func (r *renumbered) List(ctx context.Context, name string, filter queue.Filter) ([]queue.Entry, error) {
	entries, err := r.Memory.List(ctx, name, filter)
	return r.show(ctx, name, entries), err
}

func (r *renumbered) Settle(ctx context.Context, name, owner string, outcomes ...queue.Outcome) error {
	outcomes = slices.Clone(outcomes)
	for i, o := range outcomes {
		outcomes[i].Seq = r.real(ctx, name, o.ID, o.Seq)
	}
	return r.Memory.Settle(ctx, name, owner, outcomes...)
}

func (r *renumbered) Revise(ctx context.Context, name string, e queue.Entry, with *queue.Item) error {
	e.Seq = r.real(ctx, name, e.ID, e.Seq)
	return r.Memory.Revise(ctx, name, e, with)
}

// restless does not end a rest.
type restless struct{ *queue.Memory }

func (restless) Resume(context.Context, string) error { return nil }
