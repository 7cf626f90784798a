package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestForeignTextCannotSteerTheTerminal(t *testing.T) {
	got := shorten("\x1b[2J\nred\u202e" + strings.Repeat("é", 10))
	if want := "?[2J?red?" + strings.Repeat("é", 10); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := shorten(strings.Repeat("é", 61)), strings.Repeat("é", 20)+"… (61 characters)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTableOfManyFlags(t *testing.T) {
	var flags []recordedFlag
	for i := range 100 {
		flags = append(flags, recordedFlag{fmt.Sprintf("flag-%d", i), i%2 == 0})
	}
	var out bytes.Buffer
	reporter{&out}.table(flags, "flag-50")
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 35 {
		t.Errorf("%d lines", len(lines))
	}
	// The second column starts at the same place in every line.
	place := strings.LastIndex(lines[0][:strings.LastIndex(lines[0], "FLAG")], "FLAG")
	for row, line := range lines[1:] {
		if want := fmt.Sprintf("flag-%d", row+34); !strings.HasPrefix(line[place:], want) {
			t.Errorf("line %q has no %s at %d", line, want, place)
		}
	}
	for _, f := range flags {
		if !strings.Contains(out.String(), f.Flag) {
			t.Errorf("%s is missing", f.Flag)
		}
	}
}
