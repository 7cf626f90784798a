package main

import (
	"fmt"
	"math"
)

// bar is a figure that this project holds itself to.
type bar struct {
	what      string
	against   string // what
	benchmark string // without "Benchmark"
	unit      string
	bar       float64 // 0 if there is none
	least     bool    // bar is the least that the ratio should be, not the most
	takes     string  // the unit of time that one of what takes, if it was measured
}

const perOp = "sec/op"

// bars are the limits, in the order of the page.
var bars = []bar{
	{"`AddFeatureFlag`, the same flag", "`Scope.SetTag`", "Record/flags=1", "xSetTag", 1.8, false, perOp},
	{"`AddFeatureFlag`, 50 flags", "`Scope.SetTag`", "Record/flags=50", "xSetTag", 1.8, false, perOp},
	{"`AddFeatureFlag`, 50 flags", "a list by hand", "Record/flags=50", "xByHand", 1.0 / 60, false, ""},
	{"`AddFeatureFlag`, 500 flags", "`Scope.SetTag`", "Record/flags=500", "xSetTag", 4.5, false, perOp},
	{"`AddFeatureFlag` on a span", "`Scope.SetTag`", "Record/span", "xSetTag", 2.3, false, perOp},
	{"`AddFeatureFlag` into one scope from 2 processors", "`Scope.SetTag`", "RecordShared", "xSetTag", 2.4, false, ""},
	{"`AddFeatureFlag` into 2 scopes from 2 processors", "`Scope.SetTag`", "RecordParallel", "xSetTag", 0, false, ""},
	{"a request: a hub cloned, 10 flags", "`Scope.SetTag`", "Request", "xSetTag", 1.35, false, perOp},
	{"an evaluation with the hook", "an empty hook", "Hook/nospan", "xNoop", 1.4, false, perOp},
	{"an evaluation with the hook, on a span", "an empty hook", "Hook/span", "xNoop", 1.5, false, perOp},
	{"what the hook adds to an evaluation, on a span", "OpenTelemetry's hook", "Peers/flags=10", "xOTel", 0.25, false, ""},
	{"an error captured with 10 flags", "one without", "Capture/10", "xBare", 1.5, false, perOp},
	{"an error captured with 100 flags", "one without", "Capture/100", "xBare", 4.5, false, perOp},
	{"`signing.Sign`, 200 bytes", "`hmac.New` and hex", "Sign", "xHMAC", 0.6, false, perOp},
	{"`signing.Verify`, 200 bytes", "`hmac.New` and hex", "Verify", "xHMAC", 0.6, false, perOp},
	{"the emitter's request, 1 change", "a bare POST", "Emitter/changes=1", "xRaw", 1.25, false, perOp},
	{"the emitter's request, 10 changes", "a bare POST", "Emitter/changes=10", "xRaw", 1.3, false, perOp},
	{"the emitter's request, 100 changes", "a bare POST", "Emitter/changes=100", "xRaw", 2.0, false, perOp},
	{"the loop as well, 100 changes", "a bare POST", "Deliver/changes=100", "xRaw", 0, false, perOp},
	{"the loop as well, 100 changes", "a sender by hand", "Deliver/changes=100", "xByHand", 0, false, ""},
	{"a queue in SQLite delivered by 100", "by 1, per change", "Drain/engine=SQLite", "xSingle", 8, true, ""},
	{"a queue in PostgreSQL delivered by 100", "by 1, per change", "Drain/engine=PostgreSQL", "xSingle", 8, true, ""},
	{"the last 10,000 of 1,000,000, SQLite", "the first", "Backlog/engine=SQLite", "xFirst", 1.2, false, ""},
	{"the last 10,000 of 1,000,000, PostgreSQL", "the first", "Backlog/engine=PostgreSQL", "xFirst", 1.2, false, ""},
	{"200,000 waiting under one long snapshot: the last 10,000", "the first", "LongSnapshot/backlog", "xStart", 2, false, ""},
	{"200,000 passing through under one long snapshot", "the first", "LongSnapshot/live", "xStart", 2, false, ""},
	{"one of 1,000,000 waiting, memory", "one of 10", "Waiting/engine=Memory/waiting=1000000", "xTen", 0, false, "sec/change"},
	{"one of 1,000,000 waiting, SQLite", "one of 10", "Waiting/engine=SQLite/waiting=1000000", "xTen", 0, false, "sec/change"},
	{"one of 1,000,000 waiting, PostgreSQL", "one of 10", "Waiting/engine=PostgreSQL/waiting=1000000", "xTen", 0, false, "sec/change"},
	{"`alert.Parse`, 1 kB", "`json.Unmarshal` into a map", "Parse/kB=1", "xMap", 0.5, false, perOp},
	{"`alert.Parse`, 10 kB", "`json.Unmarshal` into a map", "Parse/kB=10", "xMap", 0.5, false, perOp},
	{"`alert.Parse`, 100 kB", "`json.Unmarshal` into a map", "Parse/kB=100", "xMap", 0.5, false, perOp},
	{"an alert of 1 kB switches a flag, HTTP on both sides", "the call of the flag system", "Relay/kB=1", "xDirect", 3, false, perOp},
	{"the same, 10 kB", "the call of the flag system", "Relay/kB=10", "xDirect", 0, false, perOp},
	{"alert to flag off with a store that hangs", "one that answers", "StoreThatHangs", "xAnswers", 1.2, false, ""},
	{"`changes.Diff`, flagd, JSON", "parsing both documents", "Diff/flagd.json", "xParse", 1.6, false, perOp},
	{"`changes.Diff`, flagd, YAML", "parsing both documents", "Diff/flagd.yaml", "xParse", 1.6, false, perOp},
	{"`changes.Diff`, GO Feature Flag, JSON", "parsing both documents", "Diff/goff.json", "xParse", 1.6, false, perOp},
	{"`changes.Diff`, GO Feature Flag, YAML", "parsing both documents", "Diff/goff.yaml", "xParse", 1.6, false, perOp},
	{"`changes.Diff`, GO Feature Flag, TOML", "parsing both documents", "Diff/goff.toml", "xParse", 1.6, false, perOp},
	{"`changes.Diff`, keyed, JSON", "parsing both documents", "Diff/keyed.json", "xParse", 1.6, false, perOp},
	{"console over 110,000 entries in SQLite, first byte of the slowest page", "over an empty queue", "Console/engine=SQLite", "xEmpty", 5, false, ""},
	{"console over 110,000 entries in PostgreSQL", "over an empty queue", "Console/engine=PostgreSQL", "xEmpty", 5, false, ""},
}

func (b bar) limit() string {
	switch {
	case b.bar == 0:
		return ""
	case b.least:
		return "at least " + number(b.bar)
	}
	return number(b.bar)
}

// verdict compares the median.
func (b bar) verdict(m measured) string {
	met, by := m.median <= b.bar, m.median/b.bar
	if b.least {
		met, by = m.median >= b.bar, b.bar/m.median
	}
	switch {
	case b.bar == 0:
		return ""
	case met:
		return "met"
	}
	return fmt.Sprintf("**missed**, by %.0f %%", math.Ceil(100*(by-1)))
}
