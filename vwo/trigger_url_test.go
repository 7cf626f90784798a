package vwo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/vwo"
	"pgregory.net/rapid"
)

const treasure = "f00dface-API-token/+=&?#"

func triggerConfig() vwo.TriggerURLConfig {
	return vwo.TriggerURLConfig{Token: vwo.NewToken(treasure), Environment: "production", Feature: "new_checkout"}
}

func TestTriggerURLIsComplete(t *testing.T) {
	config := triggerConfig()
	for enabled, digit := range map[bool]string{false: "0", true: "1"} {
		config.Enabled = enabled
		u, err := vwo.NewTriggerURL(config)
		if err != nil {
			t.Fatal(err)
		}
		want := "https://app.vwo.com/api/v2/accounts/current/environments/production/features/new_checkout/toggle?isEnabled=" +
			digit + "&authToken=" + url.QueryEscape(treasure)
		if got := u.Reveal(); got != want {
			t.Errorf("Reveal = %s\nwant     %s", got, want)
		}
		parsed, err := url.Parse(u.Reveal())
		if err != nil || parsed.Query().Get("authToken") != treasure {
			t.Errorf("a reader of the URL sees the token %q, %v", parsed.Query().Get("authToken"), err)
		}
		if got, want := u.String(), strings.ReplaceAll(want, url.QueryEscape(treasure), "REDACTED"); got != want {
			t.Errorf("String = %s", got)
		}
	}
}

func TestTriggerURLBase(t *testing.T) {
	for base, want := range map[string]string{
		"https://app.wingify.com/api/v2/":    "https://app.wingify.com/api/v2/accounts",
		"https://eu.example.com":             "https://eu.example.com/accounts",
		" https://eu.example.com:8443/a%2Fb": "https://eu.example.com:8443/a%2Fb/accounts",
		"http://127.0.0.1:8080/api":          "http://127.0.0.1:8080/api/accounts",
		"http://[::1]:8080":                  "http://[::1]:8080/accounts",
		"http://localhost:1/":                "http://localhost:1/accounts",
	} {
		config := triggerConfig()
		config.BaseURL = base
		u, err := vwo.NewTriggerURL(config)
		if err != nil || !strings.HasPrefix(u.Reveal(), want) {
			t.Errorf("%s gives %s, %v", base, u, err)
		}
	}
	for _, base := range []string{
		"http://app.vwo.com/api/v2", "http://localhost.example.com", "http://127.0.0.1.example.com", "ftp://app.vwo.com", "app.vwo.com/api/v2",
		"https://", "https://:443", "https://user:f00dface@app.vwo.com", "https://app.vwo.com?x=f00dface", "https://app.vwo.com/?", "https://app.vwo.com/#f00dface",
		"https://app.vwo.com/#", "https://app.vwo.com/api/../x", "https://app.vwo.com/%2e%2e/x", "https://app.vwo.com/\x00f00dface", "//app.vwo.com", "javascript:f00dface",
	} {
		config := triggerConfig()
		config.BaseURL = base
		_, err := vwo.NewTriggerURL(config)
		if !errors.Is(err, vwo.ErrInvalidBaseURL) {
			t.Errorf("%q gives %v", base, err)
		} else if strings.Contains(err.Error(), "f00dface") {
			t.Errorf("the error shows what may be a token: %v", err)
		}
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	for _, name := range []string{
		"", ".", "..", "a/b", "a%2Fb", "a b", "a.b", "ä", "a?b", "a#b", "a\n", "\x00", strings.Repeat("a", 201), "\xff",
	} {
		config := triggerConfig()
		config.Environment = name
		if _, err := vwo.NewTriggerURL(config); !errors.Is(err, vwo.ErrInvalidName) || !strings.Contains(err.Error(), "environment") {
			t.Errorf("environment %q: %v", name, err)
		}
		config = triggerConfig()
		config.Feature = name
		if _, err := vwo.NewTriggerURL(config); !errors.Is(err, vwo.ErrInvalidName) || !strings.Contains(err.Error(), "feature") {
			t.Errorf("feature %q: %v", name, err)
		}
	}
	config := triggerConfig()
	config.Environment, config.Feature = strings.Repeat("A", 200), "09-_az"
	if _, err := vwo.NewTriggerURL(config); err != nil {
		t.Error(err)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	for _, token := range []vwo.Token{{}, vwo.NewToken(""), vwo.NewToken(" \r\n\t")} {
		config := triggerConfig()
		config.Token = token
		if _, err := vwo.NewTriggerURL(config); !errors.Is(err, vwo.ErrEmptyToken) {
			t.Errorf("an empty token gives %v", err)
		}
	}
	for _, token := range []string{"f00d face", "f00d\nface", "f00dfäce", "f00d\x7f"} {
		config := triggerConfig()
		config.Token = vwo.NewToken(token)
		_, err := vwo.NewTriggerURL(config)
		if !errors.Is(err, vwo.ErrMalformedToken) || strings.Contains(err.Error(), "f00d") {
			t.Errorf("%q gives %v", token, err)
		}
	}
	config := triggerConfig()
	config.Token = vwo.NewToken(treasure + "\n")
	u, err := vwo.NewTriggerURL(config)
	if err != nil || !strings.HasSuffix(u.Reveal(), url.QueryEscape(treasure)) {
		t.Errorf("the line break of a file was not trimmed: %v", err)
	}
}

func TestZeroTriggerURLIsNone(t *testing.T) {
	var u vwo.TriggerURL
	if got := u.Reveal() + u.String() + fmt.Sprint(u); got != "" {
		t.Errorf("the zero TriggerURL prints %q", got)
	}
}

// Whatever is accepted names exactly the resource that was asked for.
func TestTriggerURLNamesOneResource(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := vwo.TriggerURLConfig{
			Token:       vwo.NewToken(rapid.StringMatching(`[!-~]{1,80}`).Draw(t, "token")),
			Environment: rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_-]{1,200}`), rapid.String()).Draw(t, "environment"),
			Feature:     rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_-]{1,200}`), rapid.String()).Draw(t, "feature"),
		}
		u, err := vwo.NewTriggerURL(config)
		if err != nil {
			return
		}
		parsed, err := url.Parse(u.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		want := "/api/v2/accounts/current/environments/" + config.Environment + "/features/" + config.Feature + "/toggle"
		if parsed.Path != want || parsed.Host != "app.vwo.com" || len(parsed.Query()) != 2 {
			t.Fatalf("the URL names %s", parsed.Redacted())
		}
	})
}

// foreign stands for a struct of somebody else's, whose fields fmt prints
// without calling their methods.
type foreign struct {
	Exported   any
	unexported any
	token      vwo.Token
	trigger    vwo.TriggerURL
}

func TestTokenIsNeverPrinted(t *testing.T) {
	token := vwo.NewToken(treasure)
	trigger, err := vwo.NewTriggerURL(triggerConfig())
	if err != nil {
		t.Fatal(err)
	}
	holder := foreign{token, trigger, token, trigger}
	values := []any{token, &token, trigger, &trigger, holder, &holder, []vwo.Token{token}, map[string]any{"k": trigger}, triggerConfig()}
	var out strings.Builder
	for _, v := range values {
		for _, verb := range "vdstTpqxXbcoOUeEfFgGw" {
			for _, flags := range []string{"", "+", "#", " ", "-10.3", "0"} {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
			}
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	}
	for _, hidden := range spellings(treasure) {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("the output shows the token, as %.12q…", hidden)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, token); got != "[redacted]" {
			t.Errorf("%s prints %q", verb, got)
		}
		if got := fmt.Sprintf(verb, trigger); !strings.HasSuffix(got, "&authToken=REDACTED") {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

// spellings are the ways in which a string or its bytes are shown.
func spellings(s string) []string {
	b := []byte(s)
	trim := func(v string) string { return strings.Trim(v, "[]{}") }
	return []string{
		s, url.QueryEscape(s), url.PathEscape(s), fmt.Sprintf("%x", s), fmt.Sprintf("%X", s), trim(fmt.Sprintf("%v", b)),
		trim(fmt.Sprintf("% x", b)), trim(fmt.Sprintf("%o", b)), trim(fmt.Sprintf("%b", b)), "f00dface",
	}
}
