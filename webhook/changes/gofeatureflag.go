package changes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// GoFeatureFlag reads GO Feature Flag's configuration files: YAML, JSON or TOML,
// a map of flags by name. Its zero value is ready to use.
//
// Everything counts but version, trackEvents, metadata and what GO Feature Flag
// does not read. A scheduled or progressive roll-out changes evaluations while
// its definition stays the same: no difference can show that.
type GoFeatureFlag struct{}

var _ starter = GoFeatureFlag{}

// Name implements [Format].
func (GoFeatureFlag) Name() string { return "go-feature-flag" }

// Rules implements [Format].
func (GoFeatureFlag) Rules() string { return "go-feature-flag" }

func (GoFeatureFlag) without() string {
	return "GO Feature Flag drops all flags when the document is empty, and does not start when it is missing"
}

// goffFlag has what GO Feature Flag reads of a flag and can make a difference.
// Decoding into the same types is what makes "disable: yes" in YAML mean here
// what it means there.
type goffFlag struct {
	Variations      map[string]any       `yaml:"variations" toml:"variations"`
	Targeting       []goffRule           `yaml:"targeting" toml:"targeting"`
	BucketingKey    *string              `yaml:"bucketingKey" toml:"bucketingKey"`
	DefaultRule     *goffRule            `yaml:"defaultRule" toml:"defaultRule"`
	Experimentation *goffExperimentation `yaml:"experimentation" toml:"experimentation"`
	Scheduled       []goffStep           `yaml:"scheduledRollout" toml:"scheduledRollout"`
	Disable         *bool                `yaml:"disable" toml:"disable"`

	// variations are those of a document in JSON, read already.
	variations value

	// These make no difference but in a document that they make unreadable.
	TrackEvents *bool          `yaml:"trackEvents" toml:"trackEvents"`
	Version     *string        `yaml:"version" toml:"version"`
	Converter   *string        `yaml:"converter" toml:"converter"`
	Metadata    map[string]any `yaml:"metadata" toml:"metadata"`
}

type goffRule struct {
	Name        *string            `yaml:"name" toml:"name"`
	Query       *string            `yaml:"query" toml:"query"`
	Variation   *string            `yaml:"variation" toml:"variation"`
	Percentages map[string]float64 `yaml:"percentage" toml:"percentage"`
	Progressive *goffProgressive   `yaml:"progressiveRollout" toml:"progressiveRollout"`
	Disable     *bool              `yaml:"disable" toml:"disable"`

	// shares are the percentages of a document in JSON, read already.
	shares value
}

type goffProgressive struct {
	Initial *goffProgress `yaml:"initial" toml:"initial"`
	End     *goffProgress `yaml:"end" toml:"end"`
}

type goffProgress struct {
	Variation  *string    `yaml:"variation" toml:"variation"`
	Percentage *float64   `yaml:"percentage" toml:"percentage"`
	Date       *time.Time `yaml:"date" toml:"date"`
}

type goffExperimentation struct {
	Start *time.Time `yaml:"start" toml:"start"`
	End   *time.Time `yaml:"end" toml:"end"`
}

// goffStep is a flag with a date.
type goffStep struct {
	goffFlag `yaml:",inline"`
	Date     *time.Time `yaml:"date" toml:"date"`
}

// Read implements [Format].
func (GoFeatureFlag) Read(name string, content []byte) (Definitions, error) {
	var flags map[string]*goffFlag
	var err error
	switch syntaxOf(name, content) {
	case inJSON:
		return goffJSON(content)
	case inYAML:
		err = yamlInto(content, &flags)
	case inTOML:
		err = tomlInto(content, &flags)
	}
	if err != nil {
		return Definitions{}, err
	}
	if flags == nil {
		return Definitions{}, ErrEmpty // comments, say; a document without flags says {}
	}
	found := Definitions{flags: make(map[string]definition, len(flags))}
	for _, flag := range slices.Sorted(maps.Keys(flags)) {
		if err := found.goff(flag, flags[flag]); err != nil {
			return Definitions{}, err
		}
	}
	return found, nil
}

// goff adds a flag of GO Feature Flag's, if it would.
func (d *Definitions) goff(flag string, def *goffFlag) error {
	switch {
	case flag == "":
		d.skip("", "a flag has no name")
		return nil
	case def == nil || def.noVariations() || def.DefaultRule == nil:
		d.skip(flag, "it has no variations or no defaultRule, so that GO Feature Flag leaves it out")
		return nil
	}
	rest, err := def.value(true)
	if err != nil {
		return fmt.Errorf("flag %q: %w", cut(flag, maxShown), err)
	}
	return d.add(flag, definition{on: positionOf(def.Disable == nil || !*def.Disable), rest: rest})
}

func (f *goffFlag) noVariations() bool {
	return len(f.Variations) == 0 && len(f.variations.items()) == 0
}

// value is what counts of a flag. What a scheduled step leaves out means "as
// before", so that only a whole flag has defaults.
func (f *goffFlag) value(whole bool) (value, error) {
	var m members
	if len(f.variations.items()) > 0 {
		m.put("variations", f.variations)
	}
	if len(f.Variations) > 0 {
		// An int in YAML is another Go type than a float, and than any number in
		// JSON, and an evaluation asks for one of them.
		variations, err := converter{goTypes: true}.value(f.Variations, 0)
		if err != nil {
			return value{}, err
		}
		m.put("variations", variations)
	}
	m.text("bucketingKey", f.BucketingKey)
	if len(f.Targeting) > 0 {
		rules := make([]value, len(f.Targeting))
		for i, rule := range f.Targeting {
			var err error
			if rules[i], err = rule.value(whole, false); err != nil {
				return value{}, err
			}
		}
		m.put("targeting", arrayOf(rules))
	}
	if f.DefaultRule != nil {
		rule, err := f.DefaultRule.value(whole, true)
		if err != nil {
			return value{}, err
		}
		m.put("defaultRule", rule)
	}
	if f.Experimentation != nil {
		var span members
		span.time("start", f.Experimentation.Start)
		span.time("end", f.Experimentation.End)
		m.put("experimentation", span.object())
	}
	if len(f.Scheduled) > 0 {
		steps := make([]value, len(f.Scheduled))
		for i, step := range f.Scheduled {
			changed, err := step.value(false)
			if err != nil {
				return value{}, err
			}
			var dated members
			dated.time("date", step.Date)
			dated.put("step", changed)
			steps[i] = dated.object()
		}
		m.put("scheduledRollout", arrayOf(steps))
	}
	if !whole && f.Disable != nil {
		m.put("disable", boolOf(*f.Disable))
	}
	return m.object(), nil
}

// value is what counts of a rule. The default one applies to everybody, whatever
// its query says.
func (r goffRule) value(whole, isDefault bool) (value, error) {
	var m members
	m.text("variation", r.Variation)
	if !isDefault {
		m.text("name", r.Name)
		if r.Query != nil {
			m.put("query", queryOf(*r.Query))
		}
		if r.Disable != nil && (*r.Disable || !whole) {
			m.put("disable", boolOf(*r.Disable))
		}
	}
	if r.shares.kind == object {
		m.put("percentage", r.shares)
	}
	if r.Percentages != nil {
		var shares members
		for name, share := range r.Percentages {
			if err := shares.number(name, &share); err != nil {
				return value{}, err
			}
		}
		m.put("percentage", shares.object())
	}
	if r.Progressive != nil {
		var rollout members
		for name, step := range map[string]*goffProgress{"initial": r.Progressive.Initial, "end": r.Progressive.End} {
			if step == nil {
				continue
			}
			var progress members
			progress.text("variation", step.Variation)
			progress.time("date", step.Date)
			if err := progress.number("percentage", step.Percentage); err != nil {
				return value{}, err
			}
			rollout.put(name, progress.object())
		}
		m.put("progressiveRollout", rollout.object())
	}
	return m.object(), nil
}

// queryOf is a query as it is evaluated: the lines without what they are
// indented by, in one; JsonLogic as the JSON that it is.
func queryOf(query string) value {
	joined := strings.TrimLeft(query, " ")
	if strings.Contains(joined, "\n") {
		lines := strings.Split(joined, "\n")
		for i, line := range lines {
			lines[i] = strings.TrimLeft(line, " ")
		}
		joined = strings.Join(lines, "")
	}
	if strings.HasPrefix(strings.TrimSpace(joined), "{") {
		p := newJSONParser([]byte(joined))
		if logic, err := p.value(0); err == nil && jsontext.Value(query).IsValid() {
			return logic
		}
		return textOf(query)
	}
	return textOf(joined)
}

// members are those of an object that is being made, each put once.
type members struct {
	names  []string
	values []value
}

func (m *members) put(name string, v value) {
	if m.names == nil { // most objects are no larger
		m.names, m.values = make([]string, 0, 4), make([]value, 0, 4)
	}
	m.names, m.values = append(m.names, name), append(m.values, v)
}

func (m *members) text(name string, text *string) {
	if text != nil {
		m.put(name, textOf(*text))
	}
}

func (m *members) time(name string, at *time.Time) {
	if at != nil {
		m.put(name, textOf(at.UTC().Format(time.RFC3339Nano)))
	}
}

func (m *members) number(name string, f *float64) error {
	if f == nil {
		return nil
	}
	v, err := numberOf(*f)
	m.put(name, v)
	return err
}

func (m *members) object() value {
	v, _, _ := objectOf(m.names, m.values)
	return v
}
