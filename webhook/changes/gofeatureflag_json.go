package changes

import (
	"fmt"
	"strconv"
	"time"
)

// The names in GO Feature Flag's JSON, and where fieldsOf puts what they name.
// Its parser is Go's encoding/json, to which case makes no difference.
var (
	goffFields = []string{
		"variations", "targeting", "bucketingKey", "defaultRule", "experimentation", "scheduledRollout", "disable",
		"trackEvents", "version", "converter", "metadata", "date",
	}
	goffRuleFields     = []string{"name", "query", "variation", "percentage", "progressiveRollout", "disable"}
	goffRolloutFields  = []string{"initial", "end"}
	goffProgressFields = []string{"variation", "percentage", "date"}
	goffSpanFields     = []string{"start", "end"}
)

// goffReader reads a document that was parsed, and keeps the first thing that is
// not of the type that belongs there.
type goffReader struct{ err error }

func goffJSON(content []byte) (Definitions, error) {
	document, err := parseJSON(content)
	switch {
	case err != nil:
		return Definitions{}, err
	case document.kind == null:
		return Definitions{}, ErrEmpty
	case document.kind != object:
		return Definitions{}, errNoObject
	}
	found := Definitions{flags: make(map[string]definition, len(document.of.names))}
	for name, flag := range document.members {
		var r goffReader
		def, _ := r.flag(flag, false) // of null, one without anything, which is left out
		if r.err != nil {
			return Definitions{}, fmt.Errorf("flag %q: %w", cut(name, maxShown), r.err)
		}
		if err := found.goff(name, &def); err != nil {
			return Definitions{}, err
		}
	}
	return found, nil
}

// fail notes what is wrong at a field.
func (r *goffReader) fail(field string, v value) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: a %v is not what belongs there", field, v.kind)
	}
}

func (r *goffReader) fields(field string, v value, names []string, into []value) bool {
	if v.kind <= null {
		return false
	}
	if err := fieldsOf(v, names, into); err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", field, err)
	}
	return r.err == nil
}

// flag reads a flag or, with its date, a step.
func (r *goffReader) flag(v value, isStep bool) (f goffFlag, date *time.Time) {
	var at [12]value // as in goffFields
	if !r.fields("flag", v, goffFields, at[:]) {
		return f, nil
	}
	if f.variations = at[0]; f.variations.kind > null && f.variations.kind != object {
		r.fail("variations", at[0])
	}
	if rules := r.list("targeting", at[1]); len(rules) > 0 {
		f.Targeting = make([]goffRule, 0, len(rules))
	}
	for _, rule := range at[1].items() {
		f.Targeting = append(f.Targeting, r.rule(rule))
	}
	f.BucketingKey = r.text("bucketingKey", at[2])
	if at[3].kind > null {
		rule := r.rule(at[3])
		f.DefaultRule = &rule
	}
	var span [2]value
	if r.fields("experimentation", at[4], goffSpanFields, span[:]) {
		f.Experimentation = &goffExperimentation{Start: r.time("start", span[0]), End: r.time("end", span[1])}
	}
	for _, step := range r.list("scheduledRollout", at[5]) {
		var dated goffStep
		dated.goffFlag, dated.Date = r.flag(step, true)
		f.Scheduled = append(f.Scheduled, dated)
	}
	f.Disable = r.bool("disable", at[6])
	r.bool("trackEvents", at[7])
	r.text("version", at[8])
	r.text("converter", at[9])
	if at[10].kind > null && at[10].kind != object {
		r.fail("metadata", at[10])
	}
	if isStep {
		date = r.time("date", at[11])
	}
	return f, date
}

func (r *goffReader) rule(v value) (rule goffRule) {
	var at [6]value // as in goffRuleFields
	if !r.fields("rule", v, goffRuleFields, at[:]) {
		return rule
	}
	rule.Name, rule.Query, rule.Variation = r.text("name", at[0]), r.text("query", at[1]), r.text("variation", at[2])
	rule.Disable = r.bool("disable", at[5])
	rule.shares = r.shares(at[3])
	var steps [2]value
	if r.fields("progressiveRollout", at[4], goffRolloutFields, steps[:]) {
		rule.Progressive = &goffProgressive{Initial: r.progress(steps[0]), End: r.progress(steps[1])}
	}
	return rule
}

// shares checks percentages. One that is null is 0.
func (r *goffReader) shares(v value) value {
	if v.kind <= null {
		return value{}
	}
	if v.kind != object {
		r.fail("percentage", v)
		return value{}
	}
	for i := range v.of.values {
		switch share := &v.of.values[i]; share.kind {
		case number:
		case null:
			*share = value{kind: number, text: "0"}
		default:
			r.fail("percentage", *share)
		}
	}
	return v
}

func (r *goffReader) progress(v value) *goffProgress {
	var at [3]value // as in goffProgressFields
	if !r.fields("progressiveRollout", v, goffProgressFields, at[:]) {
		return nil
	}
	return &goffProgress{Variation: r.text("variation", at[0]), Percentage: r.number("percentage", at[1]), Date: r.time("date", at[2])}
}

func (r *goffReader) list(field string, v value) []value {
	if v.kind > null && v.kind != array {
		r.fail(field, v)
		return nil
	}
	return v.items()
}

func (r *goffReader) text(field string, v value) *string {
	switch v.kind {
	case nothing, null:
	case str:
		text := v.text
		return &text
	default:
		r.fail(field, v)
	}
	return nil
}

func (r *goffReader) bool(field string, v value) *bool {
	switch v.kind {
	case nothing, null:
		return nil
	case boolTrue, boolFalse:
		is := v.kind == boolTrue
		return &is
	}
	r.fail(field, v)
	return nil
}

func (r *goffReader) number(field string, v value) *float64 {
	switch v.kind {
	case nothing, null:
		return nil
	case number:
		if f, err := strconv.ParseFloat(v.text, 64); err == nil {
			return &f
		}
	}
	r.fail(field, v)
	return nil
}

func (r *goffReader) time(field string, v value) *time.Time {
	text := r.text(field, v)
	if text == nil {
		return nil
	}
	var at time.Time
	if err := at.UnmarshalText([]byte(*text)); err != nil {
		r.fail(field, v)
	}
	return &at
}
