package httptoggle_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch/httptoggle"
)

func TestConfigIsChecked(t *testing.T) {
	setToken(t)
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	for want, spoil := range map[string]func(*httptoggle.Config){
		"method: ":                         func(c *httptoggle.Config) { c.Method = "GET" },
		"url: it names no host":            func(c *httptoggle.Config) { c.URL = "" },
		"url: it must be https":            func(c *httptoggle.Config) { c.URL = "http://flags.example.com/" },
		"url: it must not carry a user":    func(c *httptoggle.Config) { c.URL = "https://user:pass@flags.example.com/" },
		"url: it must not have a fragment": func(c *httptoggle.Config) { c.URL += "#x" },
		"url: its host must be":            func(c *httptoggle.Config) { c.URL = "https://${target.host}/" },
		"url: a placeholder must be a whole": func(c *httptoggle.Config) {
			c.URL = "https://flags.example.com/flag-${target.flag}"
		},
		"url: a placeholder must be a whole segment of the path or": func(c *httptoggle.Config) { c.URL = "https://flags.example.com/?a=b${target.flag}" },
		"url: the name of a parameter":                              func(c *httptoggle.Config) { c.URL = "https://flags.example.com/?${target.flag}=b" },
		"url: its path must not contain":                            func(c *httptoggle.Config) { c.URL = "https://flags.example.com/a/../b" },
		`url: its path must not contain "%2e%2e"`:                   func(c *httptoggle.Config) { c.URL = "https://flags.example.com/%2e%2e/b" },
		"url: it has a %":                                           func(c *httptoggle.Config) { c.URL = "https://flags.example.com/%zz" },
		"url: ${switch.alert} must not be in the path":              func(c *httptoggle.Config) { c.URL = "https://flags.example.com/${switch.alert}" },
		"body: ${alert} is none of":                                 func(c *httptoggle.Config) { c.Body = raw(`{"a":"${alert}"}`) },
		`body: "${" is not closed`:                                  func(c *httptoggle.Config) { c.Body = raw(`{"a":"${state"}`) },
		"body: ${target.} is none of":                               func(c *httptoggle.Config) { c.Body = raw(`"${target.}"`) },
		"body: ${switch.alert} must not be in a name":               func(c *httptoggle.Config) { c.Body = raw(`{"${switch.alert}":1}`) },
		"body: jsontext":                                            func(c *httptoggle.Config) { c.Body = raw(`{"a":}`) },
		"body: jsontext: ":                                          func(c *httptoggle.Config) { c.Body = raw(`{"a":1,"a":2}`) },
		"headers.X-Alert: ${switch.alert} must not be in a header":  func(c *httptoggle.Config) { c.Headers["X-Alert"] = httptoggle.Header{Value: "${switch.alert}"} },
		"headers.X-Flag: ${target.flag} must not":                   func(c *httptoggle.Config) { c.Headers["X-Flag"] = httptoggle.Header{Value: "${target.flag}"} },
		"headers.A B: ":                                             func(c *httptoggle.Config) { c.Headers["A B"] = httptoggle.Header{Value: "a"} },
		"headers.Host: ":                                            func(c *httptoggle.Config) { c.Headers["Host"] = httptoggle.Header{Value: "a"} },
		"headers.X: exactly one":                                    func(c *httptoggle.Config) { c.Headers["X"] = httptoggle.Header{} },
		"headers.Y: exactly one":                                    func(c *httptoggle.Config) { c.Headers["Y"] = httptoggle.Header{Value: "a", Prefix: "b"} },
		"headers.Z: the environment variable":                       func(c *httptoggle.Config) { c.Headers["Z"] = httptoggle.Header{Env: "HTTPTOGGLE_TEST_NOT_SET"} },
		"headers.V: it has characters":                              func(c *httptoggle.Config) { c.Headers["V"] = httptoggle.Header{Value: "a\r\nb"} },
		"headers.authorization: it is there twice":                  func(c *httptoggle.Config) { c.Headers["authorization"] = httptoggle.Header{Value: "a"} },
		"state.off: it must be set":                                 func(c *httptoggle.Config) { c.State.On = raw(`1`) },
		"state: on and off are the same":                            func(c *httptoggle.Config) { c.State = httptoggle.Words{On: raw(`1`), Off: raw(`1`)} },
		"done: 302 is a redirect":                                   func(c *httptoggle.Config) { c.Done = []int{302} },
		"retry: 99 is no status":                                    func(c *httptoggle.Config) { c.Retry = []int{99} },
		"is in ":                                                    func(c *httptoggle.Config) { c.Retry, c.Final = []int{404}, []int{404} },
		"confirm.pointer: ":                                         func(c *httptoggle.Config) { c.Confirm = &httptoggle.Place{Pointer: "a"} },
		"confirm.on: it must be a boolean": func(c *httptoggle.Config) {
			c.Confirm = &httptoggle.Place{Words: httptoggle.Words{On: raw(`{}`), Off: raw(`1`)}}
		},
		"was.pointer: ${switch.alert}":  func(c *httptoggle.Config) { c.Was = &httptoggle.Place{Pointer: "/${switch.alert}"} },
		"before.url: ":                  func(c *httptoggle.Config) { c.Before = &httptoggle.Before{} },
		"before.url: ${state} must not": func(c *httptoggle.Config) { c.Before = &httptoggle.Before{URL: "https://flags.example.com/${state}"} },
		"message: ":                     func(c *httptoggle.Config) { c.Message = "error" },
		"timeout: ":                     func(c *httptoggle.Config) { c.Timeout = -1 },
	} {
		config := configOf("https://flags.example.com")
		spoil(&config)
		if _, err := httptoggle.New(config); !errors.Is(err, httptoggle.ErrInvalidConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestConfigInJSON(t *testing.T) {
	setToken(t)
	text := `{
		"method": "PATCH", "url": "https://flags.example.com/${target.flag}",
		"headers": {"Authorization": {"prefix": "Bearer ", "env": "HTTPTOGGLE_TEST_TOKEN"}, "X-Version": "2"},
		"body": {"on": "${state}"}, "state": {"on": 1, "off": 0},
		"final": [409], "confirm": {"pointer": "/on"}, "timeout": "3s",
		"before": {"url": "https://flags.example.com/${target.flag}", "pointer": "/on", "on": true, "off": false, "timeout": "1s"}
	}`
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var config httptoggle.Config
	if err := decoder.Decode(&config); err != nil {
		t.Fatal(err)
	}
	if config.Headers["X-Version"].Value != "2" || time.Duration(config.Timeout) != 3*time.Second || string(config.Before.On) != "true" || time.Duration(config.Before.Timeout) != time.Second {
		t.Errorf("%+v", config)
	}
	newToggler(t, config)
	for _, broken := range []string{`{"headers":{"A":{"values":"x"}}}`, `{"headers":{"A":1}}`, `{"timeout":"soon"}`} {
		if err := json.Unmarshal([]byte(broken), &httptoggle.Config{}); err == nil {
			t.Errorf("%s is taken", broken)
		}
	}
}
