package setup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-json-experiment/json"
)

// ReadConfig reads a file that holds one JSON object into the struct that into
// points to. A name that the struct does not have is an error, in its exact case,
// and so is one that is there twice, of which the last would win.
func ReadConfig(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff")) // an editor's byte order mark
	if err = json.Unmarshal(raw, into, json.RejectUnknownMembers(true)); errors.Is(err, json.ErrUnknownName) {
		err = fmt.Errorf("unknown field: %w", err)
	}
	if err != nil {
		return fmt.Errorf("read the configuration %s: %w", path, err)
	}
	return nil
}

// Duration is a time.Duration that is written as "15m".
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}
