package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// envelope is what Sentry's SDKs post: a line of headers, then items, each a
// line of headers and a payload.
type envelope struct {
	DSN    string
	Events []event
}

// event is the part of an error event that the quickstart looks at.
type event struct {
	ID        string     `json:"event_id"`
	Exception exceptions `json:"exception"`
	User      struct {
		Username string `json:"username"`
	} `json:"user"`
	Contexts struct {
		Flags struct {
			Values []recordedFlag `json:"values"`
		} `json:"flags"`
	} `json:"contexts"`
}

// recordedFlag is one evaluation that an event carries.
type recordedFlag struct {
	Flag   string `json:"flag"`
	Result any    `json:"result"`
}

type exception struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// exceptions are on the wire as a list, or as an object with a list in it.
type exceptions []exception

func (e *exceptions) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]exception)(e))
	}
	var wrapped struct {
		Values []exception `json:"values"`
	}
	if err := json.Unmarshal(data, &wrapped); err != nil {
		return err
	}
	*e = wrapped.Values
	return nil
}

// message returns what went wrong: the outermost error, which comes last.
func (e event) message() string {
	if len(e.Exception) == 0 {
		return "no exception"
	}
	return e.Exception[len(e.Exception)-1].Value
}

// parseEnvelope reads an envelope that has been decompressed. Items of other
// types than event are passed over.
func parseEnvelope(body []byte) (envelope, error) {
	line, rest, _ := bytes.Cut(body, []byte("\n"))
	var header struct {
		DSN string `json:"dsn"`
	}
	if err := json.Unmarshal(line, &header); err != nil {
		return envelope{}, fmt.Errorf("envelope header: %w", err)
	}
	parsed := envelope{DSN: header.DSN}
	for number := 1; ; number++ {
		rest = bytes.TrimLeft(rest, "\n")
		if len(rest) == 0 {
			return parsed, nil
		}
		kind, payload, after, err := nextItem(rest)
		if err != nil {
			return envelope{}, fmt.Errorf("item %d: %w", number, err)
		}
		rest = after
		if kind != "event" {
			continue
		}
		var e event
		if err := json.Unmarshal(payload, &e); err != nil {
			return envelope{}, fmt.Errorf("item %d: event: %w", number, err)
		}
		parsed.Events = append(parsed.Events, e)
	}
}

// nextItem cuts the first item off. With a length in its header the payload has
// that many bytes and may contain line breaks, without one it ends with the line.
func nextItem(data []byte) (kind string, payload, rest []byte, err error) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	var header struct {
		Type   string `json:"type"`
		Length *int   `json:"length"`
	}
	if err := json.Unmarshal(line, &header); err != nil {
		return "", nil, nil, fmt.Errorf("header: %w", err)
	}
	if header.Type == "" {
		return "", nil, nil, errors.New("header: no type")
	}
	if header.Length == nil {
		payload, rest, _ = bytes.Cut(rest, []byte("\n"))
		return header.Type, payload, rest, nil
	}
	length := *header.Length
	if length < 0 || length > len(rest) {
		return "", nil, nil, fmt.Errorf("header: length %d, but %d bytes follow", length, len(rest))
	}
	payload, rest = rest[:length], rest[length:]
	if len(rest) > 0 && rest[0] != '\n' {
		return "", nil, nil, fmt.Errorf("no line break after %d bytes of payload", length)
	}
	return header.Type, payload, rest, nil
}
