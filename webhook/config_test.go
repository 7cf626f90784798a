package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
)

func TestEndpoint(t *testing.T) {
	const path = "/api/0/organizations/acme/flags/hooks/provider/generic/"
	for _, tc := range []struct {
		name   string
		config Config
		want   string // the endpoint, or
		fault  string // a part of the error
	}{
		{"as copied", Config{URL: "https://sentry.io" + path}, "https://sentry.io" + path, ""},
		{"slash missing", Config{URL: "https://us.sentry.io" + strings.TrimSuffix(path, "/")}, "https://us.sentry.io" + path, ""},
		{"white space around", Config{URL: " https://sentry.io" + path + "\n"}, "https://sentry.io" + path, ""},
		{"numeric organisation", Config{URL: "https://sentry.io/api/0/organizations/4507/flags/hooks/provider/generic/"}, "https://sentry.io/api/0/organizations/4507/flags/hooks/provider/generic/", ""},
		{"below a prefix", Config{URL: "https://example.com/tools/sentry" + path}, "https://example.com/tools/sentry" + path, ""},
		{"port", Config{URL: "https://sentry.example.com:9443" + path}, "https://sentry.example.com:9443" + path, ""},
		{"organisation alone", Config{Organization: "acme"}, "https://sentry.io" + path, ""},
		{"host", Config{Host: "de.sentry.io", Organization: "acme"}, "https://de.sentry.io" + path, ""},
		{"origin", Config{Host: "https://sentry.example.com/", Organization: "acme"}, "https://sentry.example.com" + path, ""},
		{"loopback origin", Config{Host: "http://127.0.0.1:9000", Organization: "acme"}, "http://127.0.0.1:9000" + path, ""},
		{"localhost", Config{URL: "http://localhost:9000" + path}, "http://localhost:9000" + path, ""},
		{"IPv6 loopback", Config{URL: "http://[::1]:9000" + path}, "http://[::1]:9000" + path, ""},
		{"mapped loopback", Config{URL: "http://[::ffff:127.0.0.1]" + path}, "http://[::ffff:127.0.0.1]" + path, ""},
		{"plain http permitted", Config{URL: "http://sentry-web.svc:9000" + path, AllowHTTP: true}, "http://sentry-web.svc:9000" + path, ""},

		{"nothing", Config{}, "", "URL is empty"},
		{"both", Config{URL: "https://sentry.io" + path, Organization: "acme"}, "", "not both"},
		{"plain http", Config{URL: "http://sentry.example.com" + path}, "", "has to be https"},
		{"a name that only looks local", Config{URL: "http://localhost.example.com" + path}, "", "has to be https"},
		{"upper-case localhost", Config{URL: "http://LOCALHOST" + path}, "", "has to be https"},
		{"an address that only looks local", Config{URL: "http://127.0.0.1.example.com" + path}, "", "has to be https"},
		{"a private address", Config{URL: "http://10.0.0.1" + path}, "", "has to be https"},
		{"short-hand loopback", Config{URL: "http://127.1" + path}, "", "has to be https"},
		{"another scheme", Config{URL: "ftp://sentry.io" + path, AllowHTTP: true}, "", "has to be https"},
		{"no scheme", Config{URL: "sentry.io" + path}, "", "names no host"},
		{"no host", Config{URL: "https://" + path}, "", "names no host"},
		{"a port alone", Config{URL: "https://:443" + path}, "", "names no host"},
		{"credentials", Config{URL: "https://user:" + treasure + "@sentry.io" + path}, "", "credentials"},
		{"credentials, unparsable", Config{URL: "https://user:" + treasure + "@sentry io" + path}, "", "is not a URL"},
		{"query", Config{URL: "https://sentry.io" + path + "?token=" + treasure}, "", "query"},
		{"fragment", Config{URL: "https://sentry.io" + path + "#x"}, "", "fragment"},
		{"the settings page", Config{URL: "https://acme.sentry.io/settings/feature-flags/"}, "", "settings page"},
		{"another provider", Config{URL: "https://sentry.io/api/0/organizations/acme/flags/hooks/provider/launchdarkly/"}, "", "generic"},
		{"upper-case provider", Config{URL: "https://sentry.io/api/0/organizations/acme/flags/hooks/provider/Generic/"}, "", "generic"},
		{"more behind", Config{URL: "https://sentry.io" + path + "more/"}, "", "generic"},
		{"dots in the path", Config{URL: "https://sentry.io/api/0/organizations/../flags/hooks/provider/generic/"}, "", "generic"},
		{"dots in the prefix", Config{URL: "https://example.com/a/../b" + path}, "", "generic"},
		{"escaped slash", Config{URL: "https://sentry.io/api/0/organizations/a%2Fb/flags/hooks/provider/generic/"}, "", "generic"},
		{"organisation with a slash", Config{Organization: "a/b"}, "", "Organization has to be"},
		{"organisation dots", Config{Organization: ".."}, "", "Organization has to be"},
		{"host with a path", Config{Host: "https://sentry.io/?x=1", Organization: "acme"}, "", "query"},
		{"host plain http", Config{Host: "http://sentry.internal", Organization: "acme"}, "", "has to be https"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.config.Secrets = []signing.Secret{signing.NewSecret(treasure)}
			client, err := NewClient(tc.config)
			if tc.fault == "" {
				if err != nil || client.endpoint.String() != tc.want {
					t.Fatalf("got %v, %v; want %s", client, err, tc.want)
				}
				return
			}
			if !errors.Is(err, ErrInvalidConfig) || !strings.Contains(err.Error(), tc.fault) {
				t.Fatalf("got %v, want ErrInvalidConfig with %q", err, tc.fault)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, treasure) {
				t.Errorf("the error shows what was pasted: %s", text)
			}
		})
	}
}

// treasure is a secret that no output may show.
const treasure = "f00dfacef00dfacef00dfacef00dface"

func TestNewClientRefusesWhatCannotWork(t *testing.T) {
	secret := signing.NewSecret(treasure)
	for name, config := range map[string]Config{
		"Secrets: ":                   {Organization: "acme"},
		"Secrets: secret 2 of 2":      {Organization: "acme", Secrets: []signing.Secret{secret, {}}},
		"MaxFlag must not be":         {Organization: "acme", Secrets: []signing.Secret{secret}, MaxFlag: -1},
		"Timeout must not be negativ": {Organization: "acme", Secrets: []signing.Secret{secret}, Timeout: -time.Second},
	} {
		if _, err := NewClient(config); !errors.Is(err, ErrInvalidConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
	if _, err := NewClient(Config{Organization: "acme"}); !errors.Is(err, signing.ErrEmptySecret) {
		t.Errorf("no secret: %v", err)
	}
}

func TestShorterTimeoutCounts(t *testing.T) {
	for _, tc := range []struct{ client, own, want time.Duration }{
		{0, 0, DefaultTimeout},
		{0, time.Second, time.Second},
		{time.Minute, time.Second, time.Second},
		{time.Second, time.Minute, time.Second},
		{time.Minute, 0, DefaultTimeout},
	} {
		c := Config{HTTPClient: &http.Client{Timeout: tc.client}, Timeout: tc.own}.withDefaults()
		if got := c.timeout(); got != tc.want {
			t.Errorf("the client's %v and %v make %v, want %v", tc.client, tc.own, got, tc.want)
		}
	}
}
