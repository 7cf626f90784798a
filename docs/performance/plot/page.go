package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
)

// replacePart replaces what stands in a page between two comments.
func replacePart(page []byte, name, part string) ([]byte, error) {
	begin, end := fmt.Appendf(nil, "<!-- %s: drawn by docs/performance/plot -->\n", name), fmt.Appendf(nil, "<!-- end of %s -->", name)
	before, rest, found := bytes.Cut(page, begin)
	_, after, ended := bytes.Cut(rest, end)
	if !found || !ended {
		return nil, fmt.Errorf("the page has no place for the %s", name)
	}
	return bytes.Join([][]byte{before, begin, []byte(part), end, after}, nil), nil
}

// tableOf lists what was measured beside what it is held to.
func tableOf(r *results, bars []bar) (string, error) {
	var table strings.Builder
	table.WriteString("| what | against | ratio | limit | | one takes |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, b := range bars {
		ratio, err := r.of(b.benchmark, b.unit)
		if err != nil {
			return "", err
		}
		took := ""
		if b.takes != "" {
			time, err := r.of(b.benchmark, b.takes)
			if err != nil {
				return "", err
			}
			took = duration(time.median)
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %s |\n", b.what, b.against, ratio, b.limit(), b.verdict(ratio), took)
	}
	return table.String(), nil
}

func (m measured) String() string {
	if number(m.least) == number(m.most) {
		return number(m.median)
	}
	return fmt.Sprintf("**%s** (%s–%s)", number(m.median), number(m.least), number(m.most))
}

// number writes three digits, which is more than holds from run to run.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v < 0.1:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// duration writes a time to two or three digits.
func duration(seconds float64) string {
	d := time.Duration(math.Round(seconds * 1e9))
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= 10*unit {
			return d.Round(unit).String()
		}
		if d >= unit {
			return d.Round(unit / 10).String()
		}
	}
	return d.String()
}
