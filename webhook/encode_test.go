package webhook

import (
	"errors"
	"strings"
	"testing"
	"time"
)

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

func TestRepeatedChangeID(t *testing.T) {
	other := valid
	other.Flag = "other"
	_, err := newTestClient(t, nil).encodeAll([]Change{valid, other}, time.Now())
	invalid, ok := errors.AsType[*ChangeError](err)
	if !ok || invalid.Index != 1 || invalid.Field != "ChangeID" || !strings.Contains(invalid.Reason, "change 0") {
		t.Errorf("got %v", err)
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
