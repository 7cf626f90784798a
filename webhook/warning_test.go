package webhook

import (
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

func TestWarnings(t *testing.T) {
	var got []string
	client := newTestClient(t, func(c *Config) {
		c.OnWarning = func(w Warning) {
			got = append(got, w.Field+":"+w.Flag)
			if named := strings.Contains(w.String(), `"my_flag-a84e63b3"`) && strings.Contains(w.Reason, "ShownNames"); named != (w.Field == "Flag") {
				t.Errorf("the warning is %s", w)
			}
		}
	})
	now := time.Now()
	for _, edit := range []func(*Change){
		func(*Change) {},
		func(c *Change) { c.Flag = " my flag " },
		func(c *Change) { c.CreatedAt = now.Add(30 * time.Second) }, // clocks differ
		func(c *Change) { c.CreatedAt = now.Add(time.Hour) },
		func(c *Change) { c.Flag, c.CreatedAt = "", now.Add(time.Hour) }, // refused, so nothing to warn of
	} {
		change := valid
		edit(&change)
		_, _ = client.encodeAll([]Change{change}, now)
	}
	if want := "Flag:my flag CreatedAt:hello"; strings.Join(got, " ") != want {
		t.Errorf("warned of %q, want %q", got, want)
	}
}

// TestCorrelates shares its cases with the evaluation side, which shares no
// code with this one.
func TestCorrelates(t *testing.T) {
	raw, err := os.ReadFile("../testdata/names.json")
	if err != nil {
		t.Fatal(err)
	}
	var names []struct {
		Name  string
		Legal bool
	}
	if err := json.Unmarshal(raw, &names); err != nil || len(names) < 30 {
		t.Fatalf("%d names, %v", len(names), err)
	}
	for _, n := range names {
		if Correlates(n.Name) != n.Legal {
			t.Errorf("Correlates(%.40q) is %v", n.Name, !n.Legal)
		}
	}
}

// TestWarningsAreLoudByDefault: a change that shows nowhere is no silence.
func TestWarningsAreLoudByDefault(t *testing.T) {
	var text strings.Builder
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	defer slog.SetDefault(before)
	change := valid
	change.Flag = "my flag"
	if _, err := newTestClient(t, nil).encodeAll([]Change{change}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "my_flag-a84e63b3") || strings.Contains(text.String(), valid.CreatedBy.ID) {
		t.Errorf("the log: %s", text.String())
	}
}
