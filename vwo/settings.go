package vwo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// FlagState is what a flag is like in one environment.
type FlagState struct {
	// Enabled says whether the flag is on.
	Enabled bool `json:"enabled"`
	// Definition is anything that changes when an evaluation of the flag can
	// come out differently: the JSON of its rules and variations, say, or a
	// hash of it. May be empty if only Enabled is known.
	Definition string `json:"definition"`
}

// Settings are the flags of one environment as a source of changes, for the
// watcher of package webhook/changes, which reports what people change in VWO,
// also while the program was down:
//
//	watcher, err := changes.NewWatcher(changes.Config{
//		Source:   vwo.NewSettings("production", read),
//		Format:   changes.Keyed("/flags", "").Switch("enabled").Called("vwo"),
//		Interval: 30 * time.Second, // VWO hands out settings through a cache
//		…
//	})
//	hook, err := receive.New(receive.Config{ // for VWO's own webhook
//		Product:  receive.Any{Product: "vwo", Header: "x-vwo-auth"},
//		Secrets:  secrets,
//		Watchers: []*changes.Watcher{watcher},
//	})
type Settings struct {
	name string
	read func(ctx context.Context) (map[string]FlagState, error)
}

// errNoSettings means that the function had nothing to say, which is something
// else than that there are no flags.
var errNoSettings = errors.New("vwo: no settings; a function that finds no flags returns an empty map, and not nil")

// NewSettings makes a source of a function that returns the environment's flags
// by key, as they are now: VWO's API has no on/off state, so that they come from
// where the SDK gets them. Name is what the environment is called in logs and in
// Sentry's flag log; do not use its SDK key. A flag that is off may be missing:
// it is then reported as deleted and, when it is back, as created, unless the
// function knows better or the watcher was told of the switch (Watcher.Own).
func NewSettings(name string, read func(ctx context.Context) (map[string]FlagState, error)) *Settings {
	return &Settings{name: name, read: read}
}

// Name returns the name of the environment.
func (s *Settings) Name() string { return s.name }

// Read returns one document, {"flags":{"<key>":{"enabled":…,"definition":…}}}.
func (s *Settings) Read(ctx context.Context) (map[string][]byte, error) {
	if s.read == nil {
		return nil, errNoSettings
	}
	flags, err := s.read(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("vwo: read the settings: %w", err)
	case flags == nil:
		return nil, errNoSettings
	}
	document, err := json.Marshal(map[string]map[string]FlagState{"flags": flags})
	if err != nil {
		return nil, fmt.Errorf("vwo: write the settings: %w", err)
	}
	return map[string][]byte{"settings.json": document}, nil
}
