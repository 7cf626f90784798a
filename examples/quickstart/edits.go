package main

import (
	"maps"
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// edit is one change of a definition.
type edit struct {
	action webhook.Action
	flag   string
	// definition is the new one; none when the flag is deleted.
	definition definition
	// note says what it is good for.
	note string
}

// longName is longer than servers from before September 2026 take.
var longName = strings.Repeat("checkout-experiment-with-a-name-that-says-it-all-", 4)[:150]

// edits are what the shop's staff does in the quickstart.
func edits(flags definitions, fault fault) []edit {
	onOff := definition{
		State:          stateEnabled,
		Variants:       map[string]any{"on": true, "off": false},
		DefaultVariant: "off",
	}
	created := "parcel-lockers"
	for flags.has(created) {
		created += "-2"
	}
	deleted := created
	for _, name := range flags.names() {
		if name != fault.flag && (deleted == created || name == "legacy-banner") {
			deleted = name
		}
	}
	long := longName
	for flags.has(long) {
		long = "x" + long[:len(long)-1]
	}
	switched, note := flags[fault.flag].switched()
	return []edit{
		{webhook.ActionCreated, created, onOff, "a flag for the next feature"},
		{webhook.ActionUpdated, fault.flag, switched, note},
		{webhook.ActionDeleted, deleted, definition{}, "a flag that is not needed any more"},
		{webhook.ActionCreated, long, onOff, "a name that older servers refuse"},
	}
}

func (d definitions) has(name string) bool {
	_, ok := d[name]
	return ok
}

// switched returns the definition with its state changed.
func (d definition) switched() (definition, string) {
	if d.State == stateEnabled {
		d.State = stateDisabled
		return d, "switched off, for the errors carry it"
	}
	d.State = stateEnabled
	return d, "switched on"
}

// apply returns the definitions after the edit.
func (e edit) apply(flags definitions) definitions {
	edited := maps.Clone(flags)
	if e.action == webhook.ActionDeleted {
		delete(edited, e.flag)
	} else {
		edited[e.flag] = e.definition
	}
	return edited
}
