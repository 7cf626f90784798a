package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// results are what go test -bench has printed.
type results struct {
	values map[string][]float64 // by name and unit, one of each run
	config map[string]string
}

// processors is what go test puts behind the name of a benchmark.
var processors = regexp.MustCompile(`-\d+$`)

func readResults(path string) (*results, error) {
	recorded, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &results{values: map[string][]float64{}, config: map[string]string{}}
	reader := benchfmt.NewReader(bytes.NewReader(recorded), path)
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue // what a benchmark has logged
		}
		name := processors.ReplaceAllString(result.Name.String(), "")
		for _, v := range result.Values {
			key := name + " " + v.Unit
			r.values[key] = append(r.values[key], v.Value)
		}
		for _, c := range result.Config {
			r.config[c.Key] = string(c.Value)
		}
	}
	return r, reader.Err()
}

// measured is the median of several runs, and the least and the most.
type measured struct{ median, least, most float64 }

// of returns what was measured under a benchmark's name without "Benchmark". A
// unit of time is "sec/…".
func (r *results) of(name, unit string) (measured, error) {
	values := slices.Sorted(slices.Values(r.values[name+" "+unit]))
	if len(values) == 0 {
		return measured{}, fmt.Errorf("no %s of Benchmark%s was recorded", unit, name)
	}
	return measured{values[len(values)/2], values[0], values[len(values)-1]}, nil
}

// machine says on what was measured.
func (r *results) machine() string {
	var parts []string
	for _, key := range []string{"cpu", "cores", "system", "go", "postgresql", "sqlite", "date", "load"} {
		if value := r.config[key]; value != "" {
			parts = append(parts, fmt.Sprintf("| %s | %s |", key, value))
		}
	}
	return "| | |\n| --- | --- |\n" + strings.Join(parts, "\n") + "\n"
}
