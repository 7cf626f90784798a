package console_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// TestNobodyElseActs tries everything that acts in every way in which it must
// not.
func TestNobodyElseActs(t *testing.T) {
	acts := []struct {
		path string
		form func(queue.Entry) url.Values
	}{
		{"/letter", func(e queue.Entry) url.Values { return letterForm("replay", e) }},
		{"/letter", func(e queue.Entry) url.Values { return letterForm("discard", e) }},
		{"/letter", func(e queue.Entry) url.Values { return correction(e, "shorter") }},
		{"/flag", func(queue.Entry) url.Values {
			return url.Values{"target": {"t"}, "confirm": {"yes"}, "force": {"true"}}
		}},
		{"/letters", func(e queue.Entry) url.Values {
			return url.Values{"do": {"replay"}, "newest": {fmt.Sprint(e.Seq)}, "confirm": {"yes"}}
		}},
		{"/letters", func(e queue.Entry) url.Values {
			return url.Values{"do": {"discard"}, "newest": {fmt.Sprint(e.Seq)}, "confirm": {"yes"}}
		}},
		{"/resume", func(queue.Entry) url.Values { return nil }},
		{"/switch", func(queue.Entry) url.Values {
			return url.Values{"do": {"retry"}, "id": {"s"}, "confirm": {"yes"}}
		}},
		{"/switch", func(queue.Entry) url.Values {
			return url.Values{"do": {"giveup"}, "id": {"s"}, "confirm": {"yes"}}
		}},
	}
	credentials := map[string]func(*http.Request){
		"none":           func(r *http.Request) { r.Header.Del("Authorization") },
		"wrong":          func(r *http.Request) { r.SetBasicAuth("ada", "another-password") },
		"empty":          func(r *http.Request) { r.SetBasicAuth("ada", "") },
		"bearer":         func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+password) },
		"as the user":    func(r *http.Request) { r.SetBasicAuth(password, "") },
		"almost":         func(r *http.Request) { r.SetBasicAuth("ada", password[:len(password)-1]) },
		"a proxy's word": func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("X-Forwarded-User", "ada") },
		"right":          func(*http.Request) {},
	}
	hosts := []string{"evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "", "localhost"}
	origins := map[string]func(*http.Request){
		"cross-site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":    func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"other origin": func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"null origin":  func(r *http.Request) { r.Header.Set("Origin", "null") },
		"other port":   func(r *http.Request) { r.Header.Set("Origin", "http://localhost:81") },
		"the page's": func(r *http.Request) {
			r.Header.Set("Origin", "http://localhost")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		},
		"not a browser": func(*http.Request) {},
	}
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPost}
	requests, acted, allowed := 0, 0, 0
	for name, credential := range credentials {
		for _, host := range hosts {
			for from, origin := range origins {
				for _, method := range methods {
					for _, act := range acts {
						k := newKit(t, nil)
						k.switches.off = []console.SwitchedOff{{Target: "t", Flag: "t", Was: console.WasOn}}
						k.switches.pending = []console.PendingSwitch{{ID: "s", Target: "t", Failed: true}}
						dead := k.settle(item("a", strings.Repeat("x", 150), "grace"), "too long")
						if err := k.store.Release(t.Context(), queueName, "test", time.Hour); err != nil {
							t.Fatal(err)
						}
						form := act.form(dead)
						r := k.request(method, act.path+"?"+form.Encode(), form)
						r.Host = host
						credential(r)
						origin(r)
						k.send(r)
						stats, err := k.store.Stats(t.Context(), queueName, 1)
						if err != nil {
							t.Fatal(err)
						}
						did := stats.Rest == 0 || k.entry("a").Seq != dead.Seq || k.entry("a").State != queue.Dead || len(k.switches.restored) > 0
						may := name == "right" && host == "localhost" && (from == "the page's" || from == "not a browser") && method == http.MethodPost
						if may {
							allowed++
							if !did {
								t.Errorf("%s %s does not act for who may", method, act.path)
							}
							continue
						}
						requests++
						if did {
							acted++
							t.Errorf("%s %s acts: credential %s, host %q, origin %s", method, act.path, name, host, from)
						}
					}
				}
			}
		}
	}
	t.Logf("console: requests that must not act=%d acted=%d (and %d that may)", requests, acted, allowed)
}

// TestUnconfirmed sends the forms without the confirmation.
func TestUnconfirmed(t *testing.T) {
	k := newKit(t, nil)
	k.switches.off = []console.SwitchedOff{{Target: "on", Flag: "on", Was: console.WasOn}, {Target: "unknown", Flag: "unknown"}}
	dead := k.settle(item("a", "flag", "grace"), "why")
	for _, form := range []url.Values{letterForm("replay", dead, "confirm", ""), letterForm("discard", dead, "confirm", "no"), correction(dead, "b", "confirm", "")} {
		if w := k.post("/letter", form); w.Code != http.StatusOK {
			t.Errorf("status %d", w.Code)
		}
	}
	for _, form := range []url.Values{{"target": {"on"}}, {"target": {"unknown"}, "confirm": {"yes"}}} {
		if w := k.post("/flag", form); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("status %d", w.Code)
		}
	}
	k.switches.pending = []console.PendingSwitch{{ID: "s", Target: "t", Failed: true}}
	for _, form := range []url.Values{
		{"do": {"replay"}, "newest": {fmt.Sprint(dead.Seq)}}, {"do": {"discard"}, "confirm": {"yes"}}, {"do": {"discard"}, "confirm": {"yes"}, "newest": {"-1"}},
	} {
		if w := k.post("/letters", form); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%v: status %d", form, w.Code)
		}
	}
	for _, do := range []string{"retry", "giveup"} {
		if w := k.post("/switch", url.Values{"do": {do}, "id": {"s"}}); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("status %d", w.Code)
		}
	}
	if k.entry("a").Seq != dead.Seq || len(k.switches.restored) > 0 {
		t.Error("it acted")
	}
}

func TestWithoutThePassword(t *testing.T) {
	k := newKit(t, nil)
	k.settle(item("a", "secret-plan", "grace"), "why")
	for _, path := range []string{"/", "/letter?do=replay&id=a", "/flag?target=t", "/nothing", "/../"} {
		r := k.request(http.MethodGet, path, nil)
		r.Header.Del("Authorization")
		w := k.send(r)
		if w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") || strings.Contains(w.Body.String(), "secret-plan") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

func TestHosts(t *testing.T) {
	k := newKit(t, func(c *console.Config) { c.Hosts = []string{"Console.Example.com", "[2001:db8::1]"} })
	for host, want := range map[string]int{
		"console.example.com": 200, "CONSOLE.example.com:8443": 200, "console.example.com.": 200, "[2001:db8::1]:80": 200, "[2001:db8::1]": 200,
		"localhost": 421, "127.0.0.1": 421, "example.com": 421, "console.example.com.evil.example": 421, "": 421, "console.example.com:80:evil": 421,
	} {
		r := k.request(http.MethodGet, "/", nil)
		r.Host = host
		if w := k.send(r); w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, nil)
		tried := 0
		try := func(from, password string) int {
			if password == "wrong" { // each time another one
				tried++
				password += fmt.Sprint(tried)
			}
			r := k.request(http.MethodGet, "/", nil)
			r.SetBasicAuth("ada", password)
			r.RemoteAddr = from
			return k.send(r).Code
		}
		for i := range 30 {
			want := http.StatusUnauthorized
			if i >= 10 {
				want = http.StatusTooManyRequests
			}
			if got := try("192.0.2.1:1234", "wrong"); got != want {
				t.Fatalf("try %d: %d, want %d", i, got, want)
			}
		}
		if got := try("192.0.2.1:999", password); got != http.StatusTooManyRequests {
			t.Errorf("the right one among many wrong ones: %d", got)
		}
		if got := try("192.0.2.2:1234", password); got != http.StatusOK {
			t.Errorf("from elsewhere: %d", got)
		}
		time.Sleep(10 * time.Second)
		if got := try("192.0.2.1:1234", "wrong"); got != http.StatusUnauthorized {
			t.Errorf("after ten seconds: %d", got)
		}
		if got := try("192.0.2.1:1234", "wrong"); got != http.StatusTooManyRequests {
			t.Errorf("the next at once: %d", got)
		}
		time.Sleep(time.Minute)
		if got := try("192.0.2.1:1234", password); got != http.StatusOK {
			t.Errorf("after a minute: %d", got)
		}
		// Who can choose among addresses does not get more tries for that.
		tries := 0
		for i := range 5000 {
			if try(fmt.Sprintf("[2001:db8:%x::1]:1", i), "wrong") == http.StatusUnauthorized {
				tries++
			}
			if i < 40 && try(fmt.Sprintf("[2001:db8:ffff::%x]:1", i), "wrong") == http.StatusUnauthorized {
				tries++
			}
		}
		if tries > 1000 {
			t.Errorf("%d tries from many addresses", tries)
		}
		if got := try("192.0.2.2:1", password); got != http.StatusOK {
			t.Errorf("who was in before is kept out by others: %d", got)
		}
		if strings.Contains(k.log.String(), password) || strings.Contains(k.log.String(), "wrong1") || !strings.Contains(k.log.String(), "192.0.2.1") {
			t.Error("the log")
		}
	})
}

// TestAttemptsBehindOneAddress has somebody guess behind the proxy through which
// the operators come, too.
func TestAttemptsBehindOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, nil)
		tried := 0
		try := func(password string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
			if password == "wrong" { // each time another one
				tried++
				password += fmt.Sprint(tried)
			}
			r := k.request(http.MethodGet, "/", nil)
			r.SetBasicAuth("ada", password)
			for _, cookie := range cookies {
				r.AddCookie(cookie)
			}
			return k.send(r)
		}
		if w := try("wrong"); len(w.Result().Cookies()) != 0 {
			t.Error("who does not know the password has got a cookie")
		}
		cookies := try(password).Result().Cookies()
		if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || strings.Contains(cookies[0].Value, password) {
			t.Fatalf("cookies: %v", cookies)
		}
		if w := try(password, cookies...); w.Code != http.StatusOK || len(w.Result().Cookies()) != 0 {
			t.Errorf("again: %d, %v", w.Code, w.Result().Cookies())
		}
		guesses := 0
		for range 100 { // while the operator's page refreshes itself
			if try("wrong").Code == http.StatusUnauthorized {
				guesses++
			}
			if w := try(password, cookies...); w.Code != http.StatusOK {
				t.Fatalf("the operator is kept out: %d", w.Code)
			}
		}
		if guesses > 10 {
			t.Errorf("%d guesses", guesses)
		}
		forged := *cookies[0]
		forged.Value = "x" + forged.Value
		for what, cookie := range map[string]*http.Cookie{
			"forged": &forged, "empty": {Name: cookies[0].Name}, "a dot": {Name: cookies[0].Name, Value: "."}, "of another": {Name: cookies[0].Name, Value: "a.b"},
		} {
			if w := try(password, cookie); w.Code != http.StatusTooManyRequests {
				t.Errorf("with a cookie that is %s: %d", what, w.Code)
			}
		}
		// The cookie lets nobody in, and its guesses are limited as well.
		guesses = 0
		for range 100 {
			if try("wrong", cookies...).Code == http.StatusUnauthorized {
				guesses++
			}
		}
		if guesses != 10 {
			t.Errorf("%d guesses with a cookie", guesses)
		}
		if n := strings.Count(k.log.String(), "too many wrong passwords"); n != 2 {
			t.Errorf("said %d times that somebody is shut out", n)
		}
	})
}

// TestTheSameWrongPasswordAgain is of a script, or a screen on a wall, that still has
// the former password, behind the address of everybody.
func TestTheSameWrongPasswordAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, nil)
		try := func(password string) int {
			r := k.request(http.MethodGet, "/", nil)
			r.SetBasicAuth("ada", password)
			return k.send(r).Code
		}
		for range 1000 {
			if got := try("the former password"); got != http.StatusUnauthorized {
				t.Fatalf("the same wrong one: %d", got)
			}
			time.Sleep(5 * time.Second)
		}
		if n := strings.Count(k.log.String(), "a wrong password"); n != 1 {
			t.Errorf("said %d times", n)
		}
		if got := try(password); got != http.StatusOK {
			t.Errorf("the right one beside it: %d", got)
		}
		// Two that take turns are guesses like any other.
		guesses := 0
		for i := range 100 {
			if try(fmt.Sprint("guess ", i%2)) == http.StatusUnauthorized {
				guesses++
			}
		}
		if guesses != 10 {
			t.Errorf("%d guesses", guesses)
		}
	})
}

func TestMadeUpPassword(t *testing.T) {
	var printed bytes.Buffer
	k := newKit(t, func(c *console.Config) { c.Password, c.Announce = signing.Secret{}, &printed })
	found := regexp.MustCompile(`is ([A-Z2-7]{26}) `).FindStringSubmatch(printed.String())
	if found == nil || strings.Count(printed.String(), "\n") != 1 {
		t.Fatalf("printed %q", printed.String())
	}
	r := k.request(http.MethodGet, "/", nil)
	r.SetBasicAuth("ada", found[1])
	if w := k.send(r); w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
	if w := k.get("/"); w.Code != http.StatusUnauthorized {
		t.Errorf("another password: %d", w.Code)
	}
	if strings.Contains(k.log.String(), found[1]) {
		t.Error("the log has the password")
	}
	k.config.Announce = failing{}
	if _, err := console.New(k.config); !errors.Is(err, console.ErrInvalidConfig) {
		t.Errorf("where it cannot be printed: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no") }

func TestProxy(t *testing.T) {
	secrets := []signing.Secret{signing.NewSecret("shared-with-the-proxy"), signing.NewSecret("the-one-before")}
	withProxy := func(c *console.Config) {
		c.ProxyHeader, c.ProxyValues, c.ProxyUser = "X-Proxy-Secret", secrets, "X-Forwarded-User"
	}
	var printed bytes.Buffer
	alone := newKit(t, func(c *console.Config) { withProxy(c); c.Password, c.Announce = signing.Secret{}, &printed })
	both := newKit(t, withProxy)
	for _, test := range []struct {
		values      []string
		basic       bool
		alone, both int
	}{
		{nil, false, 401, 401},
		{nil, true, 401, 200},
		{[]string{"shared-with-the-proxy"}, false, 200, 200},
		{[]string{"the-one-before"}, false, 200, 200},
		{[]string{"shared-with-the-proxy", "shared-with-the-proxy"}, false, 401, 401},
		{[]string{"shared-with-the"}, false, 401, 401},
		{[]string{""}, false, 401, 401},
	} {
		for k, want := range map[*kit]int{alone: test.alone, both: test.both} {
			r := k.request(http.MethodGet, "/", nil)
			if !test.basic {
				r.Header.Del("Authorization")
			}
			for _, value := range test.values {
				r.Header.Add("X-Proxy-Secret", value)
			}
			r.Header.Set("X-Forwarded-User", "grace@example.com")
			w := k.send(r)
			if w.Code != want {
				t.Errorf("%q, basic %t: %d, want %d", test.values, test.basic, w.Code, want)
			}
			if believed := strings.Contains(w.Body.String(), "grace@example.com"); believed != (want == 200 && !test.basic) {
				t.Errorf("%q: the user is believed: %t", test.values, believed)
			}
			if k == alone && w.Header().Get("WWW-Authenticate") != "" {
				t.Error("a password is asked for that there is not")
			}
		}
	}
	if printed.Len() > 0 {
		t.Errorf("printed %q", printed.String())
	}
}

func TestPasswordFrom(t *testing.T) {
	dir := t.TempDir()
	file := func(content string) string {
		path := filepath.Join(dir, fmt.Sprint(len(content)))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		text, path string
		want       string // an error's part, or what the password is
	}{
		{"", "", ""},
		{password, "", password},
		{"", file(" from-a-file-1\n"), "from-a-file-1"},
		{password, file(password), "exclude each other"},
		{"too-short", "", "at least 12"},
		{"", file("short"), "at least 12"},
		{"", file(""), "is empty"},
		{"", filepath.Join(dir, "none"), "no such file"},
	} {
		t.Setenv("CONSOLE_PASSWORD", test.text)
		t.Setenv("CONSOLE_PASSWORD_FILE", test.path)
		got, err := console.PasswordFrom("CONSOLE_PASSWORD")
		switch {
		case err != nil:
			if !errors.Is(err, console.ErrInvalidConfig) || !strings.Contains(err.Error(), test.want) || test.text != "" && strings.Contains(err.Error(), test.text) {
				t.Errorf("%+v: %v", test, err)
			}
		case got.IsZero() != (test.want == ""):
			t.Errorf("%+v: empty %t", test, got.IsZero())
		case test.want != "":
			k := newKit(t, func(c *console.Config) { c.Password = got })
			r := k.request(http.MethodGet, "/", nil)
			r.SetBasicAuth("ada", test.want)
			if w := k.send(r); w.Code != http.StatusOK {
				t.Errorf("%+v: %d", test, w.Code)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := newKit(t, nil).config
	for what, change := range map[string]func(*console.Config){
		"nothing to show": func(c *console.Config) { c.Inspector, c.Switches = nil, nil },
		"a header alone":  func(c *console.Config) { c.ProxyHeader = "X-Proxy" },
		"values alone":    func(c *console.Config) { c.ProxyValues = []signing.Secret{signing.NewSecret("value")} },
		"an empty value":  func(c *console.Config) { c.ProxyHeader, c.ProxyValues = "X-Proxy", []signing.Secret{{}} },
		"a user alone":    func(c *console.Config) { c.ProxyUser = "X-User" },
		"one header": func(c *console.Config) {
			c.ProxyHeader, c.ProxyUser, c.ProxyValues = "X-P", "x-p", []signing.Secret{signing.NewSecret("value")}
		},
		"a scheme":           func(c *console.Config) { c.Hosts = []string{"http://localhost"} },
		"a wildcard":         func(c *console.Config) { c.Hosts = []string{"*"} },
		"an empty host":      func(c *console.Config) { c.Hosts = []string{""} },
		"a nil pointer":      func(c *console.Config) { c.Switches = (*switches)(nil) },
		"an empty inspector": func(c *console.Config) { c.Inspector = &webhook.Inspector{} },
	} {
		config := good
		change(&config)
		if _, err := console.New(config); !errors.Is(err, console.ErrInvalidConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestHeaders(t *testing.T) {
	k := newKit(t, nil)
	unknown := k.request(http.MethodGet, "/", nil)
	unknown.Host = "evil.example"
	for _, w := range []*httptest.ResponseRecorder{k.get("/"), k.get("/nothing"), k.send(unknown)} {
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("the policy is %q", policy)
			}
		}
		for _, bad := range []string{"unsafe", "*", "http", "data:"} {
			if strings.Contains(policy, bad) {
				t.Errorf("the policy has %q", bad)
			}
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("headers: %v", w.Header())
		}
	}
}
