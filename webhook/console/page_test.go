package console_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// shows fails unless the page has all the texts, of which one that begins with !
// must not be there.
func (k *kit) shows(w *httptest.ResponseRecorder, status int, texts ...string) {
	k.Helper()
	if w.Code != status {
		k.Errorf("status %d, want %d: %s", w.Code, status, w.Body.String()[max(0, w.Body.Len()-300):])
	}
	body := w.Body.String()
	if _, after, found := strings.Cut(body, "</style>"); found {
		body = after
	}
	for _, text := range texts {
		if want := !strings.HasPrefix(text, "!"); strings.Contains(body, strings.TrimPrefix(text, "!")) != want {
			k.Errorf("%q is on the page: %t", strings.TrimPrefix(text, "!"), !want)
		}
	}
}

func TestOverview(t *testing.T) {
	var decisions console.Decisions
	decisions.Add("ignored", "no rule")
	k := newKit(t, func(c *console.Config) {
		c.Title, c.Decisions = "Flags of the shop", &decisions
		c.Sources = func() []console.Source {
			return []console.Source{
				{Name: "flagd:shop.json", Flags: 1234, LastGood: time.Now()},
				{Name: "mobile", Problem: "the file is gone"},
				{Name: "growthbook", Received: true, LastGood: time.Now()},
				{Name: "flipt", Received: true, Problem: "3 wrong signatures"},
			}
		}
	})
	k.shows(k.get("/"), 200, "Flags of the shop", "Sentry has refused nothing", "Nothing that was delivered is kept", "All delivered", "Nothing is switched off",
		"You are", "ada", "no rule", "1,234 flags", "the file is gone", "Never read", "Watched", "Cannot be read",
		"Posts webhooks", "Last webhook", "Perhaps not heard", "No webhook yet", "3 wrong signatures", "!0 flags")
	k.settle(item("dead", "refused-flag", "grace"), "flag: too long")
	k.settle(item("done", "delivered-flag", "grace"), "")
	if _, err := k.store.Add(t.Context(), queueName, queue.Addition{Items: []queue.Item{item("waits", "waiting-flag", "linus")}}); err != nil {
		t.Fatal(err)
	}
	k.switches.off = []console.SwitchedOff{{Target: "vwo/checkout", Flag: "checkout", Alert: "Error rate", Since: time.Now(), Was: console.WasOn}}
	k.shows(k.get("/"), 200, "refused-flag", "flag: too long", "delivered-flag", "!waiting-flag", "Delivering", "checkout", "Error rate", "before it was on",
		"Delivered per minute, 1 at most", "<rect ")
	k.switches.fails = errors.New("no journal")
	k.shows(k.get("/"), 503, "no journal", "refused-flag")
	k.store.Close()
	k.shows(k.get("/"), 503, "The store does not answer", "flagd:shop.json")
	for path, status := range map[string]int{"/nothing": 404, "/letter": 400, "/flag": 503} {
		if w := k.get(path); w.Code != status {
			t.Errorf("%s: %d, want %d", path, w.Code, status)
		}
	}
}

func TestPaused(t *testing.T) {
	k := newKit(t, nil)
	k.settle(item("a", "a", "grace"), "")
	if _, err := k.store.Add(t.Context(), queueName, queue.Addition{Items: []queue.Item{item("b", "b", "linus")}}); err != nil {
		t.Fatal(err)
	}
	if err := k.store.Release(t.Context(), queueName, "test", time.Minute); err != nil {
		t.Fatal(err)
	}
	k.shows(k.get("/"), 200, "Paused", "Another process", "tried again by itself in 59 s", "Try now")
	if w := k.post("/resume", url.Values{}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./?did=resumed" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	k.shows(k.get("/?did=resumed"), 200, "It is tried now.", "!Paused", "Delivering")
	if !strings.Contains(k.log.String(), "ended a pause of the delivery\" by=ada") {
		t.Errorf("the log is\n%s", k.log.String())
	}
	k.store.Close()
	k.shows(k.post("/resume", url.Values{}), 503, "The store does not answer")
}

// TestAllIsNotWell lets nothing wait while something is dead.
func TestAllIsNotWell(t *testing.T) {
	k := newKit(t, nil)
	k.settle(item("a", "a", "grace"), "too long")
	k.shows(k.get("/"), 200, "!All delivered", "Nothing waits, 1 refused")
}

func TestPaging(t *testing.T) {
	k := newKit(t, nil)
	for i := range 50 {
		k.settle(item(fmt.Sprintf("dead%d", i), fmt.Sprintf("refused-%02d", i), "grace"), fmt.Sprintf("reason %d", i%2))
	}
	for i := range 100 {
		k.settle(item(fmt.Sprintf("done%d", i), fmt.Sprintf("delivered-%03d", i/50), "grace"), "")
	}
	older := regexp.MustCompile(`href="(\./\?(letters|log)=[^"]*)"`)
	walk := func(what string, pages int, one *regexp.Regexp, want int) {
		t.Helper()
		path, seen := "/", make(map[string]int)
		for page := range pages + 1 {
			w := k.get(path)
			for _, found := range one.FindAllString(w.Body.String(), -1) {
				seen[found]++
			}
			next := ""
			for _, found := range older.FindAllStringSubmatch(w.Body.String(), -1) {
				if found[2] == what {
					next = strings.ReplaceAll(found[1], "&amp;", "&")
				}
			}
			if next == "" {
				if page != pages-1 {
					t.Errorf("%s: %d pages, want %d", what, page+1, pages)
				}
				break
			}
			path = "/" + strings.TrimPrefix(next, "./")
		}
		if len(seen) != want {
			t.Errorf("%s: %d seen on all pages, want %d", what, len(seen), want)
		}
	}
	walk("letters", 3, regexp.MustCompile(`refused-\d\d`), 50)
	walk("log", 3, regexp.MustCompile(`delivered-\d\d\d`), 2)
	k.shows(k.get("/"), 200, "reason 0", "reason 1", "<b>25</b>", "refused-49", "!refused-00")
	k.shows(k.get("/?flag=delivered-000"), 200, "delivered-000", "!delivered-001", `value="delivered-000"`, "log=", "flag=delivered-000")
	k.shows(k.get("/?flag=unknown"), 200, "Nothing of this flag was delivered", "refused nothing of this flag", "!delivered-000", "!refused-0")
	k.shows(k.get("/?flag=refused-07"), 200, "Only of the flag", "refused-07", "reason 1", "!refused-08")
	k.shows(k.get("/?flag="+strings.Repeat("x", queue.MaxKey+1)), 200, "at most 1024 bytes")
	k.shows(k.get("/?flag=%00&log=-1&letters=x"), 200, "at most 1024 bytes", "refused-49")
}

func TestManyDead(t *testing.T) {
	k := newKit(t, nil)
	for i := range 1200 {
		k.settle(item(fmt.Sprintf("dead%d", i), "flag", "grace"), "too long")
	}
	k.shows(k.get("/"), 200, "<dd>1,000&#43;</dd>", "The newest 150 by reason", "<b>150</b>")
}

func TestCorrectReplayDiscard(t *testing.T) {
	k := newKit(t, nil)
	long := strings.Repeat("x", 300)
	dead := k.settle(item("a", long, "grace"), "too long")
	k.shows(k.get("/letter?"+letterForm("correct", dead).Encode()), 200, "Correct a change", long, "It had 300 characters", "too long", `value="grace"`)
	k.shows(k.post("/letter", correction(dead, long)), 422, "Flag has 300 code points", long)
	k.shows(k.post("/letter", correction(dead, " shorter ", "confirm", "")), 200, "Deliver this to Sentry?", "<del>", "shorter", "!never shows it")
	k.shows(k.post("/letter", correction(dead, "with a space", "confirm", "")), 200, "never shows it")
	k.shows(k.post("/letter", correction(dead, "x", "created_at", "yesterday")), 422, "2026-09-01T12:00:00Z")
	w := k.post("/letter", correction(dead, " shorter "))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./?did=corrected" {
		t.Errorf("%d to %q", w.Code, w.Header().Get("Location"))
	}
	corrected := k.entry("a")
	change, err := webhook.DecodeItem(corrected.Item)
	if err != nil || corrected.State != queue.Waiting || change.Flag != "shorter" || change.ChangeID != 1 || change.CreatedBy.ID != "ada" {
		t.Errorf("%+v, %v", corrected, err)
	}
	k.shows(k.get("/?did=corrected"), 200, "The corrected change is on its way")
	k.shows(k.post("/letter", correction(dead, "again")), 409, "Somebody was there before")
	k.shows(k.get("/letter?do=replay&id=none"), 404, "no such change")

	again := k.settle(item("b", "flag", "grace"), "refused")
	k.shows(k.get("/letter?"+letterForm("replay", again).Encode()), 200, "Send this change again")
	if w := k.post("/letter", letterForm("replay", again)); w.Header().Get("Location") != "./?did=replayed" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	alien := k.settle(queue.Item{ID: "c", Body: []byte("not a change")}, "refused")
	k.shows(k.get("/letter?"+letterForm("correct", alien).Encode()), 409, "no change in this entry")
	k.shows(k.get("/letter?"+letterForm("discard", alien).Encode()), 200, "cannot be taken back")
	if w := k.post("/letter", letterForm("discard", alien)); w.Header().Get("Location") != "./?did=discarded" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if b, c := k.entry("b").State, k.entry("c").State; b != queue.Waiting || c != queue.Discarded {
		t.Errorf("replayed is %v, discarded %v", b, c)
	}
	for _, did := range []string{"did=corrected by=ada", "did=replayed by=ada", "did=discarded by=ada"} {
		if !strings.Contains(k.log.String(), did) {
			t.Errorf("the log does not say %q:\n%s", did, k.log.String())
		}
	}
	if w := k.post("/letter", url.Values{"flag": {strings.Repeat("x", 70<<10)}}); w.Code != http.StatusBadRequest {
		t.Errorf("a form that is too large: %d", w.Code)
	}
}

func TestRestore(t *testing.T) {
	k := newKit(t, nil)
	k.switches.off = []console.SwitchedOff{
		{Target: "on", Flag: "on", Was: console.WasOn},
		{Target: "off", Flag: "off", Was: console.WasOff},
		{Target: "unknown", Flag: "unknown"},
		{Target: "broken", Flag: "broken", Was: console.WasOn},
	}
	k.shows(k.get("/flag?target=on"), 200, "Restore this flag?", "It is switched on", "!checkbox")
	k.shows(k.get("/flag?target=off"), 200, "stays off")
	k.shows(k.get("/flag?target=unknown"), 200, "checkbox")
	k.shows(k.get("/flag?target=none"), 404, "no such flag")
	for _, form := range []url.Values{{"target": {"on"}, "confirm": {"yes"}}, {"target": {"unknown"}, "confirm": {"yes"}, "force": {"true"}}} {
		if w := k.post("/flag", form); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./?did=restored" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
	k.shows(k.post("/flag", url.Values{"target": {"broken"}, "confirm": {"yes"}}), 502, "the flag system &lt;says&gt; no")
	if got := strings.Join(k.switches.restored, "; "); got != "on by ada, force false; unknown by ada, force true" {
		t.Errorf("restored: %s", got)
	}
}

// TestMany deals with all dead letters of a reason, and with all.
func TestMany(t *testing.T) {
	k := newKit(t, nil)
	const hostile = "too <long>\r\nfor this"
	for i := range 2500 {
		reason := "no such flag"
		if i%5 != 0 {
			reason = hostile
		}
		k.settle(item(fmt.Sprintf("dead%d", i), fmt.Sprintf("refused-%04d", i), "grace"), reason)
	}
	count := func(state queue.State) int {
		t.Helper()
		n, filter := 0, queue.Filter{States: []queue.State{state}, Limit: queue.MaxList}
		for {
			entries, err := k.store.List(t.Context(), queueName, filter)
			if err != nil {
				t.Fatal(err)
			}
			if n += len(entries); len(entries) < filter.Limit {
				return n
			}
			filter.After = entries[len(entries)-1].Seq
		}
	}
	link := func(do, reason string) string {
		t.Helper()
		_, after, _ := strings.Cut(k.get("/").Body.String(), "<bdi>"+reason)
		found := regexp.MustCompile(`"(letters\?do=` + do + `&amp;cause=[0-9a-f]+)"`).FindStringSubmatch(after)
		if found == nil {
			t.Fatalf("no link to %s all of %q", do, reason)
		}
		return "/" + strings.ReplaceAll(found[1], "&amp;", "&")
	}
	form := func(path string) url.Values {
		t.Helper()
		w := k.get(path)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d", path, w.Code)
		}
		values := url.Values{}
		for _, found := range regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`).FindAllStringSubmatch(w.Body.String(), -1) {
			values.Set(found[1], found[2])
		}
		return values
	}
	k.shows(k.get("/letters"), 400, "nothing to do")
	k.shows(k.get("/letters?do=replay&cause=0123456789abcdef"), 404, "no such dead letters")
	replay, discard := link("replay", "too"), link("discard", "no such flag")
	k.shows(k.get(replay), 200, "Send 2,000 changes again as they are?", "refused-2499", "too &lt;long&gt;", "!refused-0001", "!refused-2495")
	k.shows(k.get(discard), 200, "Discard 500 changes?", "refused-2495")
	asked := form(replay)
	late := k.settle(item("late", "late", "grace"), hostile) // after the question
	if w := k.post("/letters", asked); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./?did=all-replayed&n=2000" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	k.shows(k.get("/?did=all-replayed&n=2000"), 200, "2,000 changes are on their way to Sentry again.")
	if dead, waiting := count(queue.Dead), count(queue.Waiting); dead != 501 || waiting != 2000 || k.entry("late").Seq != late.Seq {
		t.Errorf("%d dead and %d waiting, the late one %+v", dead, waiting, k.entry("late"))
	}
	k.shows(k.post("/letters", asked), 404, "no such dead letters")
	if w := k.post("/letters", form(discard)); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./?did=all-discarded&n=500" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	k.shows(k.get("/letters?do=discard"), 200, "Discard 1 change?", "All, whatever", "Leave it")
	if w := k.post("/letters", form("/letters?do=discard")); w.Code != http.StatusSeeOther {
		t.Errorf("%d", w.Code)
	}
	if dead, discarded := count(queue.Dead), count(queue.Discarded); dead != 0 || discarded != 501 {
		t.Errorf("%d dead, %d discarded", dead, discarded)
	}
	for _, want := range []string{"did=replayed by=ada changes=2000", "did=discarded by=ada changes=500 reason=\"no such flag\"", "did=discarded by=ada changes=1 "} {
		if !strings.Contains(k.log.String(), want) {
			t.Errorf("the log has no %q", want)
		}
	}
	k.store.Close()
	k.shows(k.get("/letters?do=discard"), 503, "The store does not answer")
}

// slowStore takes its time for each entry.
type slowStore struct{ queue.Store }

func (s slowStore) Revise(ctx context.Context, name string, e queue.Entry, with *queue.Item) error {
	time.Sleep(100 * time.Millisecond)
	return s.Store.Revise(ctx, name, e, with)
}

// TestManyTakeLong ends before a browser or a proxy gives up, and says that some
// are left.
func TestManyTakeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowStore{}
		k := newKit(t, func(c *console.Config) {
			var err error
			if c.Inspector, err = webhook.NewInspector(slow, queueName, webhook.InspectorConfig{}); err != nil {
				t.Fatal(err)
			}
		})
		slow.Store = k.store
		var newest queue.Entry
		for i := range 200 {
			newest = k.settle(item(fmt.Sprint(i), "flag", "grace"), "why")
		}
		form := url.Values{"do": {"replay"}, "newest": {fmt.Sprint(newest.Seq)}, "confirm": {"yes"}}
		for _, want := range []string{"./?did=some-replayed&n=121", "./?did=all-replayed&n=79"} {
			if w := k.post("/letters", form); w.Header().Get("Location") != want {
				t.Errorf("%d %v, want %s", w.Code, w.Header(), want)
			}
		}
		k.shows(k.get("/?did=some-replayed&n=121"), 200, "121 changes are on their way to Sentry again. Time was too short")
	})
}

// TestPendingSwitches shows what should be off and is not.
func TestPendingSwitches(t *testing.T) {
	k := newKit(t, nil)
	k.switches.pending = []console.PendingSwitch{
		{ID: "1", Target: "vwo: quick", Alert: "Errors", At: time.Now()},
		{ID: "2", Target: "vwo: slow", Alert: "Errors", At: time.Now(), Reason: "status 503"},
		{ID: "3", Target: "vwo: checkout", Alert: "Error rate", At: time.Now(), Failed: true, Reason: "the token is refused"},
		{ID: "broken", Target: "vwo: broken", By: "grace", On: true, At: time.Now(), Failed: true},
	}
	page := k.get("/")
	k.shows(page, 200, "Not switched", "vwo: checkout", "the token is refused", "Has failed", "Under way", "Waits", "asked for by", "switched on")
	body := page.Body.String()
	if first, at := strings.Index(body, "vwo: checkout"), strings.Index(body, "vwo: quick"); first > at || first > strings.Index(body, "On the way to Sentry") {
		t.Error("what has failed is not shown first")
	}
	if n := strings.Count(body, "do=retry"); n != 2 {
		t.Errorf("%d can be retried", n)
	}
	k.shows(k.get("/switch?do=retry&id=3"), 200, "Try this switch again?", "Error rate")
	k.shows(k.get("/switch?do=retry&id=2"), 404, "tried again already")
	k.shows(k.get("/switch?do=giveup&id=2"), 200, "Give this switch up?", "status 503")
	k.shows(k.get("/switch?do=restore&id=2"), 400, "nothing to do")
	for do, id := range map[string]string{"retry": "3", "giveup": "2"} {
		if w := k.post("/switch", url.Values{"do": {do}, "id": {id}, "confirm": {"yes"}}); w.Code != http.StatusSeeOther {
			t.Errorf("%s: %d", do, w.Code)
		}
	}
	k.shows(k.post("/switch", url.Values{"do": {"retry"}, "id": {"broken"}, "confirm": {"yes"}}), 502, "the store &lt;says&gt; no")
	slices.Sort(k.switches.restored)
	if got := strings.Join(k.switches.restored, "; "); got != "give up 2 by ada; retry 3 by ada" {
		t.Errorf("did: %s", got)
	}
	for _, want := range []string{"did=retried by=ada", "did=givenup by=ada"} {
		if !strings.Contains(k.log.String(), want) {
			t.Errorf("the log has no %q", want)
		}
	}
	k.switches.pending = k.switches.pending[:1]
	if body := k.get("/").Body.String(); strings.Contains(body, `card alarm`) {
		t.Error("a switch that is under way is an alarm")
	}
	k.switches.pending = nil
	k.shows(k.get("/"), 200, "!Not switched")
}

// TestOtherQueues names what waits or is dead under a former name.
func TestOtherQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, nil)
		k.shows(k.get("/"), 200, "!Elsewhere")
		const former = "flag-changes:sentry.io/<former>"
		if _, err := k.store.Add(t.Context(), former, queue.Addition{Items: []queue.Item{item("a", "a", "grace"), item("b", "b", "grace")}}); err != nil {
			t.Fatal(err)
		}
		k.shows(k.get("/"), 200, "Elsewhere in the store", "flag-changes:sentry.io/&lt;former&gt;", "2 waiting, 0 dead", "!Nobody delivers it")
		time.Sleep(2 * time.Minute)
		k.shows(k.get("/"), 200, "Nobody delivers it")
		if wait, err := k.store.Lease(t.Context(), former, "you", time.Hour); wait != 0 || err != nil {
			t.Fatal(wait, err)
		}
		k.shows(k.get("/"), 200, "2 waiting, 0 dead", "!Nobody delivers it")
	})
}

// TestContrast computes the contrast of what is written on what, as WCAG 2.2 has
// it: 4.5 for text (AA), 3 for what is drawn.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, found := strings.Cut(string(css), "prefers-color-scheme: dark")
	if !found {
		t.Fatal("no dark colours")
	}
	lowest := math.Inf(1)
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colours := make(map[string]float64)
		for _, found := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(text, -1) {
			colours[found[1]] = luminance(t, found[2])
		}
		for _, pair := range []struct {
			on, ink string
			least   float64
		}{
			{"card", "text", 4.5},
			{"back", "text", 4.5},
			{"card", "soft", 4.5},
			{"back", "soft", 4.5},
			{"card", "accent", 4.5},
			{"back", "accent", 4.5},
			{"accent", "on-accent", 4.5},
			{"good-back", "good", 4.5},
			{"bad-back", "bad", 4.5},
			{"warn-back", "warn", 4.5},
			{"card", "bad", 4.5},
			{"card", "good", 4.5},
			{"bad", "card", 4.5},
			{"card", "bar", 3},
			{"card", "accent", 3},
		} {
			a, b := colours[pair.on], colours[pair.ink]
			ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05)
			if ratio < pair.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f", scheme, pair.ink, pair.on, ratio)
			}
			if pair.least == 4.5 {
				lowest = min(lowest, ratio)
			}
		}
	}
	t.Logf("console: the lowest contrast of text is %.1f", lowest)
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	value, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift int) float64 {
		c := float64(value>>shift&255) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}
