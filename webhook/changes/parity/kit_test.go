package parity

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// documents is how many documents are made, and edited.
const documents = 1000

type object = map[string]any

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// contexts are who evaluates.
var contexts = func() []object {
	var all []object
	for i := range 24 {
		all = append(all, object{
			"targetingKey": fmt.Sprintf("user-%d", i*i),
			"email":        fmt.Sprintf("user%d@%s", i, []string{"example.com", "example.org", "beta.example.com"}[i%3]),
			"country":      []string{"de", "at", "ch", "fr"}[i%4],
			"plan":         []string{"free", "plus"}[i/2%2],
			"age":          float64(10 + i*3),
			"version":      fmt.Sprintf("1.%d.0", i%5),
		})
	}
	return all
}()

// outcome is what one context gets of one flag.
type outcome struct{ value, variant, err string }

// judge counts what was named and what evaluates differently, and fails on a
// flag that evaluates differently and is not named.
type judge struct {
	documents, refused, differ, named, quiet int
}

func (j *judge) edit(t *testing.T, format changes.Format, name string, before, after []byte, was, is map[string][]outcome) {
	t.Helper()
	named := names(t, format, name, before, name, after)
	j.documents++
	j.named += len(named)
	for flag := range union(was, is) {
		if slices.Equal(was[flag], is[flag]) {
			continue
		}
		j.differ++
		if !slices.Contains(named, flag) {
			t.Errorf("%s evaluates differently and is not named:\n%v\n%v\nbefore: %s\nafter: %s", flag, was[flag], is[flag], before, after)
		}
	}
}

// same fails on a flag that is named though nothing that counts was edited.
func (j *judge) same(t *testing.T, format changes.Format, nameBefore string, before []byte, nameAfter string, after []byte) {
	t.Helper()
	j.quiet++
	if named := names(t, format, nameBefore, before, nameAfter, after); len(named) > 0 {
		t.Errorf("%v named though nothing counts:\nbefore: %s\nafter: %s", named, before, after)
	}
}

func (j *judge) report(t *testing.T) {
	t.Logf("%d edits, %d of them refused by both; %d flags evaluate differently, %d named; %d edits that do not count", j.documents+j.refused, j.refused, j.differ, j.named, j.quiet)
	if j.differ < documents/4 || j.quiet < documents {
		t.Error("too little differs to prove anything")
	}
}

func union(a, b map[string][]outcome) map[string]bool {
	all := map[string]bool{}
	for flag := range a {
		all[flag] = true
	}
	for flag := range b {
		all[flag] = true
	}
	return all
}

func names(t *testing.T, format changes.Format, nameBefore string, before []byte, nameAfter string, after []byte) []string {
	t.Helper()
	was, err := format.Read(nameBefore, before)
	if err != nil {
		t.Fatalf("%v: %s", err, before)
	}
	is, err := format.Read(nameAfter, after)
	if err != nil {
		t.Fatalf("%v: %s", err, after)
	}
	edits, err := changes.DiffDefinitions(was, is)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, edit := range edits {
		named = append(named, edit.Flag)
	}
	return named
}

// clone copies a document.
func clone(v any) any {
	switch v := v.(type) {
	case object:
		copied := object{}
		for name, member := range v {
			copied[name] = clone(member)
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, item := range v {
			copied[i] = clone(item)
		}
		return copied
	}
	return v
}
