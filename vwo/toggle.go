package vwo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sentryflags/sentryflags-go/internal/visible"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

var (
	_ killswitch.Toggler   = (*Client)(nil)
	_ killswitch.Validator = (*Client)(nil)
	_ killswitch.Checker   = (*Client)(nil)
)

// environmentAttribute is the attribute of a killswitch.Target that says where
// the feature is switched.
const environmentAttribute = "environment"

// targetOf reads a target, and fails with ErrInvalidName.
func targetOf(t killswitch.Target) (Target, error) {
	target := Target{Environment: t.Attributes[environmentAttribute], Feature: t.Flag}
	for name := range t.Attributes {
		if name != environmentAttribute {
			return Target{}, fmt.Errorf("%w: a target has a flag and an %s, and no %s", ErrInvalidName, environmentAttribute, visible.Quote(name))
		}
	}
	return target, target.validate()
}

// Validate fails with [ErrInvalidName], without asking VWO.
func (c *Client) Validate(t killswitch.Target) error {
	_, err := targetOf(t)
	return err
}

// Toggle sets the state of a feature in an environment: the target's Flag is the
// feature's id or key, and its attribute "environment" is the environment's id
// or SDK key, never its name. Setting a state twice is harmless. VWO does not
// tell the state before.
//
// It first waits for the token's turn, up to a second after another request and
// a minute or more after VWO has said 429 or 503, but fails at once with
// [ErrRateLimited] if ctx would end before. Names that are none give
// [ErrInvalidName]; any other failure is an [*AnswerError], or the context's
// error if it ended before anything was sent. [ErrInvalidName], [ErrNotFound] and
// [ErrRefused] are [killswitch.Final]; the RetryAfter of an AnswerError is passed
// on.
//
// A success that does not show the feature's state is
// [killswitch.Unconfirmed]: VWO's own example of an answer is {}, and an answer
// may name the feature by its id when it was sent by its key.
func (c *Client) Toggle(ctx context.Context, s killswitch.Switch) (was killswitch.State, err error) {
	if ctx == nil {
		return was, errNilContext
	}
	target, err := targetOf(s.Target)
	if err != nil {
		return was, killswitch.Final(err)
	}
	body, err := c.do(ctx, func(ctx context.Context) (*http.Request, error) {
		return c.toggleRequest(ctx, target, s.On)
	})
	if err != nil {
		return was, steered(err)
	}
	return was, confirm(body, target.Feature, s.On)
}

// steered says what is to follow an error.
func steered(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrRefused) {
		return killswitch.Final(err)
	}
	if answer, ok := errors.AsType[*AnswerError](err); ok && answer.RetryAfter > 0 {
		return killswitch.RetryAfter(err, answer.RetryAfter)
	}
	return err
}

// confirm reads {"_data":{"<feature as sent>":{"isEnabled":bool}}}. No entry at
// all, or a single one under another name, does not contradict.
func confirm(body []byte, feature string, enabled bool) error {
	unexpected := func(detail string) *AnswerError {
		return &AnswerError{Status: http.StatusOK, cause: ErrUnexpectedAnswer, Detail: detail}
	}
	// Maps, because a struct's fields would match names in any case.
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil || answer == nil {
		return unexpected(fmt.Sprintf("a body of %d bytes that is not VWO's", len(body)))
	}
	if _, failed := answer["_errors"]; failed {
		return unexpected("it lists errors")
	}
	var data map[string]map[string]json.RawMessage
	if raw, found := answer["_data"]; found && json.Unmarshal(raw, &data) != nil {
		return unexpected("it does not tell the state of feature " + visible.Quote(feature))
	}
	entry, named := data[feature]
	if !named && len(data) == 1 {
		for _, entry = range data {
		}
	}
	var state onOff
	_ = state.UnmarshalJSON(bytes.TrimSpace(entry["isEnabled"]))
	switch {
	case state.known && state.on != enabled:
		return unexpected(fmt.Sprintf("feature %s is said to be enabled=%t", visible.Quote(feature), state.on))
	case state.known && named:
		return nil
	case len(data) <= 1 && !state.known && !shows(entry):
		return killswitch.Unconfirmed(unexpected("it does not tell the state of feature " + visible.Quote(feature)))
	case len(data) == 1 && state.known:
		return killswitch.Unconfirmed(unexpected("it tells a state under another name than " + visible.Quote(feature)))
	}
	return unexpected("it does not tell the state of feature " + visible.Quote(feature))
}

// shows reports whether an entry has a state that cannot be read.
func shows(entry map[string]json.RawMessage) bool {
	raw, found := entry["isEnabled"]
	return found && string(raw) != "null"
}

// maxListed is how many of the names that there are an error lists.
const maxListed = 20

// Check proves that the token works and that each target exists, without
// changing anything: run it when a program starts rather than when an alert
// fires. It takes one request for the environments, one for the first hundred
// features, and one for each distinct feature that is not among them, a second
// apart: as few as can be, because a switch that another process makes with the
// same token meanwhile may be refused. More list the features that there are when
// one is not found.
//
// All that is missing is reported at once, each wrapping [ErrNotFound] or
// [ErrInvalidName], with what there is instead. Whether the token may switch what
// it can read, VWO does not tell.
func (c *Client) Check(ctx context.Context, targets ...killswitch.Target) error {
	environments, err := c.Environments(ctx)
	if err != nil {
		return fmt.Errorf("vwo: read the environments: %w", err)
	}
	var missing []error
	checked := map[string]bool{}
	listed := ""
	if len(targets) > 2 {
		first, err := c.featuresAt(ctx, 0)
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnexpectedAnswer) {
			return fmt.Errorf("vwo: read the features: %w", err)
		}
		for _, f := range first {
			checked["feature "+visible.Quote(f.feature().ID)], checked["feature "+visible.Quote(f.feature().Key)] = true, true
		}
	}
	for _, t := range targets {
		target, err := targetOf(t)
		if err != nil {
			missing = append(missing, err)
			continue
		}
		if key := "environment " + visible.Quote(target.Environment); !checked[key] {
			checked[key] = true
			if !hasEnvironment(environments, target.Environment) {
				missing = append(missing, fmt.Errorf("%w: %s; there are %s", ErrNotFound, key, listEnvironments(environments)))
			}
		}
		key := "feature " + visible.Quote(target.Feature)
		if checked[key] {
			continue
		}
		checked[key] = true
		_, err = c.Feature(ctx, target.Feature)
		switch {
		case errors.Is(err, ErrNotFound):
			if listed == "" {
				listed = c.listFeatures(ctx)
			}
			missing = append(missing, fmt.Errorf("%w: %s; there are %s", ErrNotFound, key, listed))
		case err != nil:
			return fmt.Errorf("vwo: read %s: %w", key, err)
		}
	}
	return errors.Join(missing...)
}

func hasEnvironment(all []Environment, idOrKey string) bool {
	for _, e := range all {
		if e.ID == idOrKey || e.SDKKey == idOrKey {
			return true
		}
	}
	return false
}

// listEnvironments tells the ids, since a rule must not name an environment by
// its name. SDK keys are left out: they are credentials.
func listEnvironments(all []Environment) string {
	var names []string
	for _, e := range all {
		names = append(names, fmt.Sprintf("%s (%s of project %s)", visible.Quote(e.ID), visible.Quote(e.Name), visible.Quote(e.Project)))
	}
	return list(names)
}

func (c *Client) listFeatures(ctx context.Context) string {
	all, err := c.Features(ctx)
	if err != nil {
		return "others, which cannot be listed now"
	}
	var names []string
	for _, f := range all {
		names = append(names, visible.Quote(f.Key))
	}
	return list(names)
}

func list(names []string) string {
	more := len(names) - maxListed
	switch {
	case len(names) == 0:
		return "none"
	case more > 0:
		return strings.Join(names[:maxListed], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}
