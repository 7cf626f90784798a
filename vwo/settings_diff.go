package vwo

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// compare returns what changed since the last look, the client's own switches
// left out, in the order of the flags' names.
func (h *SettingsHook) compare(after map[string]FlagState, now time.Time) []webhook.Change {
	names := map[string]bool{}
	for name := range h.before {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	// A flag that the client has switched off may be missing before and after.
	for _, name := range h.ownFlags() {
		names[name] = true
	}
	var changes []webhook.Change
	for _, flag := range slices.Sorted(maps.Keys(names)) {
		was, before := h.before[flag]
		is, there := after[flag]
		var action webhook.Action
		switch {
		case before && there:
			action = h.updated(flag, was, is, now)
		case there:
			action = h.appeared(flag, is, now)
		case before:
			action = h.vanished(flag, was, now)
		}
		if client := h.config.Client; client != nil {
			client.own.settled(h.config.Environment, flag, is.Enabled, was.Enabled != is.Enabled, now)
		}
		if action != "" {
			changes = append(changes, h.change(action, flag, was, is, now))
		}
	}
	return changes
}

func (h *SettingsHook) updated(flag string, was, is FlagState, now time.Time) webhook.Action {
	if was == is {
		return ""
	}
	if was.Enabled != is.Enabled {
		was.Enabled = is.Enabled
		if h.isOwn(flag, is.Enabled, now) && was == is {
			return "" // nothing but what the client did
		}
	}
	return webhook.ActionUpdated
}

// vanished is a flag that is missing now: deleted, unless the client has switched
// it off and the settings leave out what is off.
func (h *SettingsHook) vanished(flag string, was FlagState, now time.Time) webhook.Action {
	if was.Enabled && h.isOwn(flag, false, now) {
		h.hidden[flag] = was
		return ""
	}
	return webhook.ActionDeleted
}

// appeared is a flag that was missing: created, unless it was only off.
func (h *SettingsHook) appeared(flag string, is FlagState, now time.Time) webhook.Action {
	was, hidden := h.hidden[flag]
	if !hidden {
		return webhook.ActionCreated
	}
	delete(h.hidden, flag)
	if h.isOwn(flag, is.Enabled, now) && was.Definition == is.Definition {
		return ""
	}
	return webhook.ActionUpdated
}

func (h *SettingsHook) isOwn(flag string, enabled bool, now time.Time) bool {
	return h.config.Client != nil && h.config.Client.own.take(h.config.Environment, flag, enabled, now)
}

func (h *SettingsHook) ownFlags() []string {
	if h.config.Client == nil {
		return nil
	}
	return h.config.Client.own.flags(h.config.Environment)
}

func (h *SettingsHook) change(action webhook.Action, flag string, was, is FlagState, now time.Time) webhook.Change {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%+v\x00%+v\x00%d", action, flag, was, is, now.UnixMicro()))
	return webhook.Change{
		Action:    action,
		ChangeID:  max(int64(binary.BigEndian.Uint64(sum[:8])>>1), 1),
		CreatedAt: now.UTC().Truncate(time.Microsecond),
		CreatedBy: h.config.Author,
		Flag:      flag,
	}
}
