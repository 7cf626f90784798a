package webhook

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
)

func newTestClient(tb testing.TB, edit func(*Config)) *Client {
	tb.Helper()
	config := Config{Organization: "acme", Secrets: []signing.Secret{signing.NewSecret(treasure)}}
	if edit != nil {
		edit(&config)
	}
	client, err := NewClient(config)
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

var valid = Change{
	Action: ActionCreated, ChangeID: 9734362632, CreatedAt: time.Date(2024, 12, 12, 0, 0, 0, 0, time.UTC),
	CreatedBy: Author{ID: "username", Type: AuthorName}, Flag: "hello",
}

func TestEncode(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Change)
		want string
	}{
		{"the change that Sentry's own test sends", func(*Change) {}, `{"action":"created","change_id":9734362632,"created_at":"2024-12-12T00:00:00.000000+00:00","created_by":{"id":"username","type":"name"},"flag":"hello"}`},
		{"in UTC, cut to the microsecond", func(c *Change) {
			c.CreatedAt = time.Date(2024, 12, 12, 1, 30, 0, 123456999, time.FixedZone("", 5400))
		}, `"created_at":"2024-12-12T00:00:00.123456+00:00"`},
		{"trimmed as Sentry trims", func(c *Change) { c.Flag, c.CreatedBy.ID = "\u2003 hello\x1c\n", "\tusername " }, `"id":"username","type":"name"},"flag":"hello"`},
		{"the largest ChangeID", func(c *Change) { c.ChangeID = 1<<63 - 1 }, `"change_id":9223372036854775807`},
		{"year 1", func(c *Change) { c.CreatedAt = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC) }, `"created_at":"0001-01-01T00:00:00.000001+00:00"`},
		{"year 9999", func(c *Change) { c.CreatedAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }, `"9999-12-31T23:59:59.000000+00:00"`},
		{"beyond ASCII", func(c *Change) { c.Flag = "größe-日本" }, `"flag":"größe-日本"`},
		{"quotes and markup", func(c *Change) { c.Flag = `a"b<c>` }, `"flag":"a\"b\u003cc\u003e"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			change := valid
			tc.edit(&change)
			got, _, err := newTestClient(t, nil).encode(change, time.Now())
			if err != nil || !strings.Contains(string(got), tc.want) {
				t.Errorf("got %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}

func TestEncodeFillsIn(t *testing.T) {
	client, now := newTestClient(t, nil), time.Date(2026, 9, 1, 8, 0, 0, 1500, time.UTC)
	seen := map[int64]bool{}
	for range 1000 {
		change := valid
		change.ChangeID, change.CreatedAt = 0, time.Time{}
		_, sent, err := client.encode(change, now)
		if err != nil {
			t.Fatal(err)
		}
		if sent.ChangeID <= 0 || seen[sent.ChangeID] {
			t.Fatalf("made up the ChangeID %d", sent.ChangeID)
		}
		seen[sent.ChangeID] = true
		if want := now.Truncate(time.Microsecond); !sent.CreatedAt.Equal(want) {
			t.Fatalf("CreatedAt is %v, want %v", sent.CreatedAt, want)
		}
	}
}

func TestValidate(t *testing.T) {
	wide := strings.Repeat("ü", 256)
	for _, tc := range []struct {
		name  string
		edit  func(*Change)
		field string // empty: valid
	}{
		{"no action", func(c *Change) { c.Action = "" }, "Action"},
		{"upper-case action", func(c *Change) { c.Action = "Created" }, "Action"},
		{"action with a space", func(c *Change) { c.Action = "created " }, "Action"},
		{"negative ChangeID", func(c *Change) { c.ChangeID = -1 }, "ChangeID"},
		{"year 0", func(c *Change) { c.CreatedAt = time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC) }, "CreatedAt"},
		{"year 10000", func(c *Change) { c.CreatedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "CreatedAt"},
		{"year 10000 in UTC only", func(c *Change) { c.CreatedAt = time.Date(9999, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600)) }, "CreatedAt"},
		{"no author", func(c *Change) { c.CreatedBy = Author{} }, "CreatedBy.Type"},
		{"author of no type", func(c *Change) { c.CreatedBy.Type = "" }, "CreatedBy.Type"},
		{"author of an odd type", func(c *Change) { c.CreatedBy.Type = "robot" }, "CreatedBy.Type"},
		{"author of white space", func(c *Change) { c.CreatedBy.ID = " \x1f\u3000" }, "CreatedBy.ID"},
		{"author of 100", func(c *Change) { c.CreatedBy.ID = wide[:200] }, ""},
		{"author of 101", func(c *Change) { c.CreatedBy.ID = wide[:202] }, "CreatedBy.ID"},
		{"author with U+0000", func(c *Change) { c.CreatedBy.ID = "a\x00b" }, "CreatedBy.ID"},
		{"author in Latin-1", func(c *Change) { c.CreatedBy.ID = "J\xfcrgen" }, "CreatedBy.ID"},
		{"no flag", func(c *Change) { c.Flag = "" }, "Flag"},
		{"flag of white space", func(c *Change) { c.Flag = "\r\n" }, "Flag"},
		{"flag of 256", func(c *Change) { c.Flag = wide }, ""},
		{"flag of 256 in white space", func(c *Change) { c.Flag = "  " + wide + "\n" }, ""},
		{"flag of 257", func(c *Change) { c.Flag = wide + "x" }, "Flag"},
		{"flag of 10 MB", func(c *Change) { c.Flag = strings.Repeat("x", 10<<20) }, "Flag"},
		{"flag of 10 MB white space", func(c *Change) { c.Flag = strings.Repeat(" ", 10<<20) }, "Flag"},
		{"flag with U+0000", func(c *Change) { c.Flag = "a\x00" }, "Flag"},
		{"flag of broken UTF-8", func(c *Change) { c.Flag = "a\xff" }, "Flag"},
		{"flag of an encoded surrogate", func(c *Change) { c.Flag = "a\xed\xa0\x80" }, "Flag"},
		{"flag that cannot correlate", func(c *Change) { c.Flag = "my flag" }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			change := valid
			tc.edit(&change)
			_, err := newTestClient(t, nil).encodeAll([]Change{{Action: ActionDeleted, CreatedBy: valid.CreatedBy, Flag: "other"}, change}, time.Now())
			if tc.field == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			invalid, ok := errors.AsType[*ChangeError](err)
			if !ok || !errors.Is(err, ErrInvalidChange) {
				t.Fatalf("got %v", err)
			}
			if invalid.Field != tc.field || invalid.Index != 1 || invalid.Reason == "" {
				t.Errorf("got %+v, want field %s of change 1", *invalid, tc.field)
			}
			if len(err.Error()) > 200 || strings.Contains(err.Error(), "username") {
				t.Errorf("the error shows values: %.300s", err)
			}
		})
	}
}

func TestMaxFlagForOlderServers(t *testing.T) {
	client := newTestClient(t, func(c *Config) { c.MaxFlag = MaxFlagBefore2026 })
	for n, want := range map[int]bool{100: true, 101: false} {
		change := valid
		change.Flag = strings.Repeat("日", n)
		if _, _, err := client.encode(change, time.Now()); (err == nil) != want {
			t.Errorf("a name of %d code points: %v", n, err)
		}
	}
}

func TestRepeatedChangeID(t *testing.T) {
	other := valid
	other.Flag = "other"
	_, err := newTestClient(t, nil).encodeAll([]Change{valid, other}, time.Now())
	invalid, ok := errors.AsType[*ChangeError](err)
	if !ok || invalid.Index != 1 || invalid.Field != "ChangeID" || !strings.Contains(invalid.Reason, "change 0") {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	var got []string
	client := newTestClient(t, func(c *Config) {
		c.OnWarning = func(w Warning) { got = append(got, w.Field+":"+w.Flag) }
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

func TestJoinBody(t *testing.T) {
	if got := string(joinBody(nil)); got != `{"data":[],"meta":{"version":1}}` {
		t.Errorf("empty: %s", got)
	}
	if got := string(joinBody([]byte("x"), []byte("1"), []byte("2"))); got != `x{"data":[1,2],"meta":{"version":1}}` {
		t.Errorf("two: %s", got)
	}
}
