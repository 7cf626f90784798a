package httptoggle_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch/httptoggle"
)

// keeping is a transport that keeps the request.
type keeping struct {
	url  *url.URL
	body []byte
}

func (k *keeping) RoundTrip(r *http.Request) (*http.Response, error) {
	k.url = r.URL
	k.body, _ = io.ReadAll(r.Body)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// FuzzToggle draws the body of a configuration and the names in a switch: the
// request differs from the configuration in strings alone, and in those only
// where a placeholder stood.
func FuzzToggle(f *testing.F) {
	f.Add(`{"a":"${switch.alert}","b":["x ${state} y","${state}"],"c":1e400}`, "Checkout", "new-checkout")
	f.Add(`"${switch.reason}"`, `"}`, "a/b")
	f.Add(`{"$${":"$${state}"}`, "${state}", "..")
	f.Add(`{"${target.flag}":1,"a":2}`, "x", "a")
	f.Add(`[]`, "", "\xff")
	f.Fuzz(func(t *testing.T, body, alert, flag string) {
		var sent keeping
		toggler, err := httptoggle.New(httptoggle.Config{
			Method: "POST", URL: "https://flags.example.com/f/${target.flag}/x?why=${switch.alert}", Body: json.RawMessage(body), Transport: &sent,
		})
		if err != nil {
			return
		}
		s := killswitch.Switch{Target: killswitch.Target{Flag: flag}, Alert: alert, Trigger: "t"}
		if strings.Contains(body, "${target.") && !strings.Contains(body, "${target.flag}") {
			return
		}
		if _, err := toggler.Toggle(t.Context(), s); err != nil {
			return
		}
		if sent.url.Host != "flags.example.com" || strings.Count(sent.url.EscapedPath(), "/") != 3 || len(sent.url.Query()) != 1 {
			t.Fatalf("the URL is %s", sent.url)
		}
		if len(body) == 0 {
			return
		}
		want, got := decode(t, []byte(body)), decode(t, sent.body)
		if !sameShape(want, got, flag) {
			t.Fatalf("%s became %s\n%s", body, sent.body, cmp.Diff(want, got))
		}
	})
}

func decode(t *testing.T, text []byte) (v any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func sameShape(want, got any, flag string) bool {
	switch want := want.(type) {
	case string:
		if want == "${state}" {
			return got == false
		}
		text, ok := got.(string)
		return ok && (text == want || strings.Contains(want, "${"))
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for i := range want {
			if !sameShape(want[i], list[i], flag) {
				return false
			}
		}
		return true
	case map[string]any:
		members, ok := got.(map[string]any)
		if !ok || len(members) != len(want) {
			return false
		}
		for name, value := range want {
			member, found := members[name]
			if !found && strings.Contains(name, "${") {
				continue // replaced
			}
			if !found || !sameShape(value, member, flag) {
				return false
			}
		}
		return true
	}
	return want == got
}
