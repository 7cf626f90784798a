package killswitch

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kills and flags are encoded by hand, as encoding/json would: while an alert waits
// for the journal, that is most of what the journal has to do. They are decoded by
// encoding/json.

func (f *flagState) encode() []byte {
	o := &object{b: make([]byte, 0, 1024)}
	o.open()
	o.int("v", int64(f.Version))
	o.int("n", f.N)
	o.decided("off", f.Off)
	o.decided("on", f.On)
	o.list("cooling", len(f.Cooling), func(i int) {
		o.open()
		o.text("alert", f.Cooling[i].Alert)
		o.flag("on", f.Cooling[i].On)
		o.time("since", f.Cooling[i].Since)
		o.close()
	})
	o.list("hits", len(f.Hits), func(i int) { o.timeValue(f.Hits[i]) })
	o.list("applied", len(f.Applied), func(i int) { o.textValue(f.Applied[i]) })
	if f.Killed != nil {
		o.name("killed")
		o.open()
		o.text("id", f.Killed.ID)
		o.kill("kill", &f.Killed.Kill)
		o.time("since", f.Killed.Since)
		o.text("was", f.Killed.Was.String())
		o.close()
	}
	return o.close()
}

// encode encodes the kill as an item's body, with its owner.
func (k *kill) encode(owner string) []byte {
	o := &object{b: make([]byte, 0, 512)}
	o.open()
	o.fields(k)
	o.text("owner", owner)
	return o.close()
}

// object writes JSON objects.
type object struct {
	b     []byte
	comma bool
}

func (o *object) open() { o.b, o.comma = append(o.b, '{'), false }

func (o *object) close() []byte {
	o.b, o.comma = append(o.b, '}'), true
	return o.b
}

func (o *object) name(name string) {
	if o.comma {
		o.b = append(o.b, ',')
	}
	o.comma = true
	o.textValue(name)
	o.b = append(o.b, ':')
}

func (o *object) int(name string, n int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) text(name, text string) {
	o.name(name)
	o.textValue(text)
}

// some writes a text that is not empty.
func (o *object) some(name, text string) {
	if text != "" {
		o.text(name, text)
	}
}

// flag writes what is true.
func (o *object) flag(name string, is bool) {
	if is {
		o.name(name)
		o.b = append(o.b, "true"...)
	}
}

func (o *object) time(name string, at time.Time) {
	o.name(name)
	o.timeValue(at)
}

func (o *object) list(name string, n int, write func(i int)) {
	if n == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for i := range n {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		write(i)
	}
	o.b, o.comma = append(o.b, ']'), true
}

func (o *object) decided(name string, d *decided) {
	if d == nil {
		return
	}
	o.name(name)
	o.open()
	o.int("order", d.Order)
	o.kill("kill", &d.Kill)
	o.text("id", d.ID)
	o.close()
}

func (o *object) kill(name string, k *kill) {
	o.name(name)
	o.open()
	o.fields(k)
	o.close()
}

func (o *object) fields(k *kill) {
	o.int("v", int64(k.Version))
	o.name("target")
	o.target(k.Target)
	o.text("flag", k.Flag)
	o.flag("on", k.On)
	o.some("alert", k.Alert)
	o.text("trigger", string(k.Trigger))
	o.some("by", k.By)
	o.time("at", k.At)
	o.int("order", k.Order)
	o.flag("again", k.Again)
	o.time("signed", k.Signed)
	o.some("identity", k.Identity)
	o.some("incident", k.Incident)
	o.flag("ends", k.Ends)
}

func (o *object) target(t Target) {
	o.open()
	o.text("flag", t.Flag)
	for _, name := range slices.Sorted(maps.Keys(t.Attributes)) {
		o.text(name, t.Attributes[name])
	}
	o.close()
}

func (o *object) timeValue(at time.Time) {
	text, err := at.MarshalJSON()
	if err != nil {
		panic("killswitch: a time cannot be encoded: " + err.Error()) // alerts outside of the years 0 to 9999 never act
	}
	o.b = append(o.b, text...)
}

func (o *object) textValue(text string) {
	if !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		o.b = append(append(append(o.b, '"'), text...), '"')
		return
	}
	quoted, _ := json.Marshal(text) // a string never fails
	o.b = append(o.b, quoted...)
}
