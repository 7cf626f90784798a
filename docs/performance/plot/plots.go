package main

// figure is one plot: lines by a number that a benchmark's name ends in.
type figure struct {
	file       string
	x, y       string // axis titles, with units
	xTicks     []float64
	yTicks     []float64
	logarithms bool // on the y axis; the x axis always has them
	reference  string
	lines      []line
}

// line is one benchmark at several sizes.
type line struct {
	label     string
	at        float64 // the x of the point that the label stands at
	place     place   // of the label, beside that point
	benchmark string  // the name up to the number
	unit      string
	scale     float64 // 1e6 for microseconds; 0 is 1
	ours      bool
	dashed    bool // to tell it from another one that is ours
}

var plots = []figure{
	{
		file: "record", x: "flags that a scope shows", y: "times as long as SetTag",
		xTicks: []float64{1, 10, 50, 100, 500}, yTicks: []float64{1, 10, 100, 1000}, logarithms: true,
		reference: "Scope.SetTag",
		lines: []line{
			{"a list by hand", 50, left, "Record/flags=", "byHand-xSetTag", 0, false, false},
			{"AddFeatureFlag", 100, above, "Record/flags=", "xSetTag", 0, true, false},
		},
	},
	{
		file: "hook", x: "flags evaluated on a span", y: "times as long as with an empty hook",
		xTicks: []float64{1, 10, 50, 100, 500}, yTicks: []float64{0, 1, 2, 4, 6, 8},
		reference: "an empty hook",
		lines: []line{
			{"OpenTelemetry's hook", 10, above, "Peers/flags=", "otel-xNoop", 0, false, false},
			{"flagtrack's hook", 50, above, "Peers/flags=", "xNoop", 0, true, false},
		},
	},
	{
		file: "emitter", x: "changes in a request", y: "times as long as a bare POST",
		xTicks: []float64{1, 3, 10, 30, 100, 300}, yTicks: []float64{0.5, 1, 2, 4, 8, 16}, logarithms: true,
		reference: "POST of the ready bytes",
		lines: []line{
			{"by hand", 10, right, "Deliver/changes=", "byHand-xRaw", 0, false, false},
			{"emitter, encoding too", 100, left, "Deliver/changes=", "encoded-xRaw", 0, true, false},
			{"emitter, from the store", 30, right, "Deliver/changes=", "xRaw", 0, true, true},
		},
	},
	{
		file: "waiting", x: "changes waiting", y: "µs for each change",
		xTicks: []float64{10, 100, 1000, 10_000, 100_000, 1_000_000}, yTicks: []float64{1, 10, 100, 1000}, logarithms: true,
		lines: []line{
			{"PostgreSQL", 1000, above, "Waiting/engine=PostgreSQL/waiting=", "sec/change", 1e6, true, false},
			{"SQLite", 1000, below, "Waiting/engine=SQLite/waiting=", "sec/change", 1e6, true, true},
			{"memory", 1000, below, "Waiting/engine=Memory/waiting=", "sec/change", 1e6, true, false},
		},
	},
	{
		file: "relay", x: "size of the alert, kB", y: "times as long as the bare call",
		xTicks: []float64{1, 3, 10, 30, 100}, yTicks: []float64{1, 3, 10, 30}, logarithms: true,
		reference: "the call of the flag system",
		lines:     []line{{"alert to answer", 3, above, "Relay/kB=", "xDirect", 0, true, false}},
	},
}
