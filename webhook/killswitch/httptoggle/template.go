package httptoggle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// place is where a template stands, which decides what it may hold.
type place int

const (
	inBody place = iota
	inName
	inURL
	inAsking // the URL and the pointer of Before: nothing has been decided yet
	inHeader
)

// template is a text with placeholders.
type template []part

// part is a text, or the name of a placeholder.
type part struct{ text, name string }

const (
	stateName    = "state"
	targetPrefix = "target."
)

var switchNames = []string{"switch.alert", "switch.trigger", "switch.reason", "switch.by", "switch.at", "switch.id"}

// parseTemplate fails for what is no placeholder, or must not be in that place.
func parseTemplate(text string, where place) (template, error) {
	var t template
	literal := ""
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			break
		}
		if strings.HasSuffix(before, "$") {
			literal += strings.TrimSuffix(before, "$") + "${"
			text = after
			continue
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return nil, errors.New(`"${" is not closed; write "$${" for the text`)
		}
		if err := mayHold(name, where); err != nil {
			return nil, err
		}
		if literal += before; literal != "" {
			t = append(t, part{text: literal})
		}
		t = append(t, part{name: name})
		literal, text = "", rest
	}
	if literal += text; literal != "" {
		t = append(t, part{text: literal})
	}
	return t, nil
}

func mayHold(name string, where place) error {
	attribute, isTarget := strings.CutPrefix(name, targetPrefix)
	switch {
	case !isTarget && name != stateName && !slices.Contains(switchNames, name), isTarget && !isToken(attribute):
		return fmt.Errorf("${%s} is none of target.<name>, state, %s", name, strings.Join(switchNames, ", "))
	case where == inHeader && name != "switch.id":
		return fmt.Errorf("${%s} must not be in a header; only switch.id may", name)
	case where == inName && !isTarget && name != stateName:
		return fmt.Errorf("${%s} must not be in a name or a pointer; only target.<name> and state may", name)
	case where == inAsking && !isTarget:
		return fmt.Errorf("${%s} must not be in what asks for the former state; only target.<name> may", name)
	}
	return nil
}

// isState reports whether the template is ${state} and nothing else.
func (t template) isState() bool { return len(t) == 1 && t[0].name == stateName }

// holds reports whether there is a placeholder.
func (t template) holds() bool {
	return slices.ContainsFunc(t, func(p part) bool { return p.name != "" })
}

// attributes lists the attributes of a target that the template wants.
func (t template) attributes() (names []string) {
	for _, p := range t {
		if name, found := strings.CutPrefix(p.name, targetPrefix); found && name != "flag" {
			names = append(names, name)
		}
	}
	return names
}

// render replaces the placeholders.
func (t template) render(v *values) string {
	if len(t) == 1 && t[0].name == "" {
		return t[0].text
	}
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
		} else {
			b.WriteString(strings.ToValidUTF8(v.text(p.name), "\uFFFD"))
		}
	}
	return b.String()
}

// values is what placeholders stand for in one switch.
type values struct {
	s     killswitch.Switch
	state []byte // the word, as JSON
	word  string // the word as text
}

func (v *values) text(name string) string {
	switch name {
	case stateName:
		return v.word
	case "target.flag":
		return v.s.Target.Flag
	case "switch.alert":
		return v.s.Alert
	case "switch.trigger":
		return v.s.Trigger
	case "switch.reason":
		return v.s.Reason()
	case "switch.by":
		return v.s.By
	case "switch.at":
		return v.s.At.UTC().Format(time.RFC3339)
	case "switch.id":
		return v.s.ID
	}
	return v.s.Target.Attributes[strings.TrimPrefix(name, targetPrefix)]
}
