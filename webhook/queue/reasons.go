package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ReasonCount is a reason that entries died of.
type ReasonCount struct {
	Reason string
	// Entries is how many have it.
	Entries int
	// Newest is when the last of them died.
	Newest time.Time
}

// CountReasons counts the newest most dead entries by their reason, at least 1 of
// them, the most frequent reason first. All says that there are no others. It
// reads them, [MaxList] at a time: some 4 milliseconds for each thousand from a
// database.
func CountReasons(ctx context.Context, s Store, queue string, most int) (counts []ReasonCount, all bool, err error) {
	if most < 1 {
		return nil, false, fmt.Errorf("%w: the most to count has to be at least 1", ErrInvalid)
	}
	found := make(map[string]ReasonCount)
	for before, left := int64(0), most; ; {
		limit := min(left+1, MaxList) // one more says whether there are others
		dead, err := s.List(ctx, queue, Filter{States: []State{Dead}, Newest: true, Before: before, Limit: limit})
		if err != nil {
			return nil, false, err
		}
		for _, entry := range dead[:min(len(dead), left)] {
			c := found[entry.Reason]
			c.Reason = entry.Reason
			c.Entries++
			if entry.Since.After(c.Newest) {
				c.Newest = entry.Since
			}
			found[entry.Reason] = c
		}
		if all = len(dead) < limit; all || len(dead) > left {
			break
		}
		left -= len(dead)
		before = dead[len(dead)-1].Seq
	}
	for _, c := range found {
		counts = append(counts, c)
	}
	return sortReasons(counts), all, nil
}

// AddReasons adds the counts of two queues.
func AddReasons(a, b []ReasonCount) []ReasonCount {
	sum := slices.Clone(a)
	for _, c := range b {
		at := slices.IndexFunc(sum, func(known ReasonCount) bool { return known.Reason == c.Reason })
		if at < 0 {
			sum = append(sum, c)
			continue
		}
		sum[at].Entries += c.Entries
		if c.Newest.After(sum[at].Newest) {
			sum[at].Newest = c.Newest
		}
	}
	return sortReasons(sum)
}

// sortReasons puts the most frequent reason first.
func sortReasons(counts []ReasonCount) []ReasonCount {
	slices.SortFunc(counts, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Entries, a.Entries), strings.Compare(a.Reason, b.Reason))
	})
	return counts
}
