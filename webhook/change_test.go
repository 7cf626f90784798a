package webhook

import (
	"errors"
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
		{"negative ChangeID", func(c *Change) { c.ChangeID = -1 << 63 }, ""},
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
