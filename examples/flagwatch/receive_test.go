package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sentryflags/sentryflags-go/internal/setup"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// receiving is a configuration that takes webhooks, and watches a file.
func receiving(sentry *webhooktest.Server, folder string, doors ...door) config {
	return config{
		Listen: "127.0.0.1:0", ReceiveListen: "127.0.0.1:0", Store: filepath.Join(folder, "x.db"), Interval: setup.Duration(50 * time.Millisecond), AllowHTTP: true,
		Sources:    []fileSource{{Name: "checkout", Format: "flagd", File: filepath.Join(folder, "flags.json")}},
		AuthorWait: setup.Duration(3 * time.Second), Receive: doors,
		env: secretsOf, database: func() string { return "" }, flagsURL: sentry.URL(), flagsSecrets: []signing.Secret{signing.NewSecret(sentrySecret)},
	}
}

const productSecret = "the-secret-of-a-product"

func secretsOf(name string) string {
	return map[string]string{"SECRET": productSecret, "SECRET_NEXT": "the-next-secret-of-a-product"}[name]
}

// post posts a body as GrowthBook signs it, or with the secret in a header.
func post(t testing.TB, target, secret, body string) (int, string) {
	t.Helper()
	signature, err := signing.Sign(signing.NewSecret(secret), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-GrowthBook-Signature", signature)
	request.Header.Set("X-Flipt-Webhook-Signature", signature)
	request.Header.Set("X-Secret", secret)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, strings.TrimSpace(string(text))
}

func growthBookBody(flag string, n int) string {
	return fmt.Sprintf(`{"event":"feature.updated","object":"feature","created":%d,"data":{"object":{"id":%q,"n":%d}},"user":{"email":"ada@example.com"},"environments":["production"]}`, time.Now().UnixMilli(), flag, n)
}

func TestReceiveConfigIsChecked(t *testing.T) {
	sentry, folder := standIn(t), t.TempDir()
	file, flags := filepath.Join(folder, "flagwatch.json"), filepath.Join(folder, "flags.json")
	goff := filepath.Join(folder, "flags.yaml")
	write(t, flags, demoFlagd)
	write(t, goff, demoGOFF)
	for reason, doors := range map[string]string{
		"product is none of":             `{"product":"x","secret_from":"SECRET"}`,
		"secret_from must":               `{"product":"flipt"}`,
		"NOTHING or NOTHING_FILE must":   `{"product":"flipt","secret_from":"NOTHING"}`,
		"environments is a setting of":   `{"product":"flipt","secret_from":"SECRET","environments":["x"]}`,
		"no source is called":            `{"product":"flipt","secret_from":"SECRET","sources":["x"]}`,
		"path has to begin":              `{"product":"flipt","secret_from":"SECRET","path":"x"}`,
		"Watchers must be set":           `{"product":"any","secret_from":"SECRET","header":"X-Secret"}`,
		"has to be the name of a header": `{"product":"any","secret_from":"SECRET","sources":["flagd:flags.json"]}`,
		"two have the name":              `{"product":"flipt","secret_from":"SECRET"},{"product":"flipt","secret_from":"SECRET","path":"/x"}`,
		"or the path /x":                 `{"product":"flipt","secret_from":"SECRET","path":"/x"},{"product":"growthbook","secret_from":"SECRET","path":"/x"}`,
		"would be reported twice":        `{"product":"go-feature-flag","secret_from":"SECRET"}`,
		"unknown field":                  `{"product":"flipt","secret":"x"}`,
	} {
		write(t, file, `{"store":`+quote(filepath.Join(folder, "x.db"))+`,"allow_http":true,"sources":[{"format":"flagd","file":`+quote(flags)+`},{"format":"go-feature-flag","file":`+quote(goff)+`}],"receive":[`+doors+`]}`)
		var out, trouble bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		env := environment(sentry, "SENTRY_FLAGS_WEBHOOK_SECRET", sentrySecret, "SECRET", productSecret)
		if code := run(ctx, []string{"-config", file}, env, &out, &trouble); code != 1 || !strings.Contains(trouble.String(), reason) {
			t.Errorf("%s: %d, %s", reason, code, &trouble)
		}
		out.Reset()
		trouble.Reset()
		code := run(ctx, []string{"-config", file, "-check"}, env, &out, &trouble)
		if text := out.String() + trouble.String(); code != 1 || strings.Count(text, reason) != 1 {
			t.Errorf("-check: %s: %d, %s", reason, code, text)
		}
		cancel()
	}
	write(t, file, `{"store":`+quote(filepath.Join(folder, "x.db"))+`,"allow_http":true,"receive":[{"product":"flipt","secret_from":"SECRET"}]}`)
	var out, trouble bytes.Buffer
	env := environment(sentry, "SENTRY_FLAGS_WEBHOOK_SECRET", sentrySecret, "SECRET", productSecret, "SECRET_NEXT", "another-secret")
	if code := run(t.Context(), []string{"-config", file, "-check"}, env, &out, &trouble); code != 0 || !strings.Contains(out.String(), "flipt posts to :8082/webhooks/flipt, signed with one of 2 secrets") {
		t.Errorf("%d: %s%s", code, &out, &trouble)
	}
}

// TestOnlyAuthorsAreWaitedFor: the changes of a source wait for the webhooks that
// can name somebody, and for no others.
func TestOnlyAuthorsAreWaitedFor(t *testing.T) {
	c := config{Receive: []door{
		{Product: "any", Name: "vwo", Header: "x-vwo-auth", Sources: []string{"vwo"}},
		{Product: "go-feature-flag", Sources: []string{"goff"}},
		{Product: "any", Name: "configcat", Header: "x", Author: "/by", Sources: []string{"configcat"}},
		{Product: "growthbook", Sources: []string{"growthbook", "both"}},
		{Product: "flipt", Sources: []string{"flipt"}},
		{Product: "any", Name: "x", Header: "x", Sources: []string{"both"}},
	}}
	for source, want := range map[string]bool{"vwo": false, "goff": false, "configcat": true, "growthbook": true, "flipt": true, "both": true, "other": false} {
		if got := c.lends(source); got != want {
			t.Errorf("%s: %t", source, got)
		}
	}
}

// TestReceive runs the service, posts to it, and looks at what it says of itself.
func TestReceive(t *testing.T) {
	sentry, folder := standIn(t), t.TempDir()
	write(t, filepath.Join(folder, "flags.json"), demoFlagd)
	c := receiving(sentry, folder, door{Product: "growthbook", SecretFrom: "SECRET"}, door{Product: "flipt", SecretFrom: "SECRET"}, door{Product: "any", Name: "vwo", SecretFrom: "SECRET", Header: "X-Secret", Author: "/by", Sources: []string{"checkout"}})
	reader, log := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := serve(ctx, c, slog.New(slog.NewTextHandler(log, nil)))
		_ = log.Close()
		ended <- err
	}()
	found := make(chan string, 2)
	go func() {
		all, buffer := "", make([]byte, 4096)
		for _, what := range []string{`webhooks=(\S+:\d+)`, `listen=(\S+)`, ""} {
			for {
				n, err := reader.Read(buffer)
				all += string(buffer[:n])
				if match := regexp.MustCompile(what).FindStringSubmatch(all); what != "" && match != nil {
					found <- match[1]
					break
				}
				if err != nil {
					return
				}
			}
		}
	}()
	hooks, base := "http://"+<-found, "http://"+<-found
	for i, with := range []string{productSecret, "the-next-secret-of-a-product"} {
		if status, text := post(t, hooks+"/webhooks/growthbook", with, growthBookBody("a", i)); status != 200 || text != "accepted" {
			t.Errorf("%d %s", status, text)
		}
	}
	body := growthBookBody("b", 0)
	for range 3 {
		post(t, hooks+"/webhooks/growthbook", productSecret, body)
	}
	for range 4 {
		if status, _ := post(t, hooks+"/webhooks/growthbook", "a-wrong-secret", body); status != 401 {
			t.Error(status)
		}
	}
	post(t, hooks+"/webhooks/growthbook", productSecret, `{"event":"experiment.started"}`)
	if status, text := post(t, hooks+"/webhooks/growthbook", productSecret, growthBookBody(strings.Repeat("x", 300), 0)); status != 200 || !strings.Contains(text, "Sentry would refuse it") {
		t.Errorf("%d %s", status, text)
	}
	post(t, hooks+"/webhooks/growthbook", productSecret, "{")
	for range 4 {
		post(t, hooks+"/webhooks/growthbook", "a-wrong-secret", body)
	}
	for path, n := range map[string]int{"/webhooks/growthbook": 2, "/webhooks/flipt": 3} {
		for range n { // no secret at the product
			answer, err := http.Post(hooks+path, "application/json", strings.NewReader(body))
			if err != nil || answer.StatusCode != 401 {
				t.Fatal(answer, err)
			}
			_ = answer.Body.Close()
		}
	}
	if answer, err := http.Get(hooks + "/favicon.ico"); err != nil || answer.Body.Close() != nil || answer.StatusCode != 404 {
		t.Error(answer, err)
	}
	for path, want := range map[string]int{"/webhooks/growthbook/": 404, "/webhooks/other": 404, "/healthz": 404, "/metrics": 404} {
		if status, _ := post(t, hooks+path, productSecret, body); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
	for range 4800 { // until there is a baseline
		if _, text := get(t, base+"/metrics"); strings.Contains(text, `flagwatch_flags{source="checkout"} 2`) {
			break
		}
		time.Sleep(25 * time.Millisecond) // a real server
	}
	time.Sleep(time.Second)
	write(t, filepath.Join(folder, "flags.json"), strings.Replace(demoFlagd, "ENABLED", "DISABLED", 1))
	if status, text := post(t, hooks+"/webhooks/vwo", productSecret, `{"by":"grace@example.com"}`); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	wait, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	all, err := sentry.WaitChanges(wait, 4)
	if err != nil {
		t.Fatal(err)
	}
	if last := all[len(all)-1]; len(all) != 4 || last.Flag != "new-checkout" || last.CreatedBy.ID != "grace@example.com" {
		t.Errorf("%+v", all)
	}
	status, text := get(t, base+"/healthz")
	for _, want := range []string{
		"DEAF?   webhooks of growthbook: the last at 20", "3 changes, 0 authors lent", "; 4 wrong signatures in a row", `1 of no use, ["experiment.started"]`,
		"; 2 in a row without a signature", "; 1 that cannot be read", "; 1 changes that Sentry would refuse", "ok      webhooks of vwo: the last at 20",
		"DEAF?   webhooks of flipt: none yet, 0 changes, 0 authors lent; 3 in a row without a signature",
		"ok      4 calls to paths that are no product's, the last at 20",
	} {
		if status != 200 || !strings.Contains(text, want) {
			t.Errorf("%d: %s\nwithout %s", status, text, want)
		}
	}
	_, text = get(t, base+"/metrics")
	for _, want := range []string{
		`flagwatch_webhooks_total{receiver="growthbook",result="accepted"} 3`, `flagwatch_webhooks_total{receiver="growthbook",result="repeated"} 2`,
		`flagwatch_webhooks_total{receiver="growthbook",result="forged"} 8`, `flagwatch_webhook_wrong_signatures_run{receiver="growthbook"} 4`,
		`flagwatch_webhook_authors_total{receiver="vwo"} 1`, "flagwatch_webhooks_elsewhere_total 4\n", `flagwatch_webhook_last_authentic_seconds{receiver="vwo"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s\nwithout %s", text, want)
		}
	}
	metricsInDocs(t, text)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// metricsInDocs wants every number in the table of numbers and alarms, and each
// series that an alarm counts, though it counts nothing yet.
func metricsInDocs(t *testing.T, text string) {
	t.Helper()
	read, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(read)
	there := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (flagwatch_\w+) `).FindAllStringSubmatch(text, -1) {
		there[found[1]] = true
		if !strings.Contains(docs, "`"+found[1]+"`") {
			t.Errorf("docs/metrics.md does not have %s", found[1])
		}
	}
	for _, found := range regexp.MustCompile(`flagwatch_\w+`).FindAllString(docs, -1) {
		if !there[found] {
			t.Errorf("docs/metrics.md has %s, which there is not", found)
		}
	}
	_, results, _ := strings.Cut(docs, "with the label `result`: ")
	results, _, _ = strings.Cut(results, "|")
	for _, found := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(results, -1) {
		if !strings.Contains(text, `flagwatch_webhooks_total{receiver="vwo",result="`+found[1]+`"} `) {
			t.Errorf("nothing counts %q from the start on, so that its first increase is not seen", found[1])
		}
	}
}

// TestReceiveInReplicas: two processes on one database take the same webhooks at
// the same time, and watch the same file.
func TestReceiveInReplicas(t *testing.T) {
	t.Parallel()
	databases := map[string]string{"SQLite": ""}
	if url := os.Getenv("SENTRYFLAGS_TEST_POSTGRES"); url != "" {
		databases["PostgreSQL"] = url
	}
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sentry, folder := standIn(t), t.TempDir()
			write(t, filepath.Join(folder, "flags.json"), demoFlagd)
			c := receiving(sentry, folder,
				door{Product: "growthbook", SecretFrom: "SECRET", Name: filepath.Base(filepath.Dir(folder))},
				door{Product: "any", Name: "vwo", SecretFrom: "SECRET", Header: "X-Secret", Author: "/by", Flags: "/flags", Sources: []string{"checkout"}})
			if c.Lag = setup.Duration(2 * time.Second); url != "" {
				c.Store, c.database = "", func() string { return url }
				c.Sources[0].Name, c.Receive[1].Sources[0] = folder, folder // the database outlives the test
			}
			var servers []*httptest.Server
			for range 2 {
				s, err := newService(c, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				server := httptest.NewServer(s.webhooks())
				t.Cleanup(func() {
					server.Close()
					if err := s.close(context.Background()); err != nil {
						t.Error(err)
					}
				})
				servers = append(servers, server)
				for s.watchers[0].Stats().Version == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			const webhooks = 25
			var posts sync.WaitGroup
			for i := range webhooks {
				body := growthBookBody(fmt.Sprintf("flag-%d", i), i)
				for j := range 4 {
					posts.Go(func() {
						status, text := post(t, servers[j%2].URL+c.doorPath(0), productSecret, body)
						for try := 0; status == http.StatusServiceUnavailable && try < 100; try++ { // as a product does
							status, text = post(t, servers[j%2].URL+c.doorPath(0), productSecret, body)
						}
						if status != 200 {
							t.Errorf("%d %s", status, text)
						}
					})
				}
			}
			posts.Wait()
			time.Sleep(time.Second) // files, and their times
			write(t, filepath.Join(folder, "flags.json"), strings.Replace(demoFlagd, "ENABLED", "DISABLED", 1))
			for _, server := range servers {
				post(t, server.URL+c.doorPath(1), productSecret, `{"by":"grace@example.com","flags":["new-checkout"]}`)
			}
			wait, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if _, err := sentry.WaitChanges(wait, webhooks+1); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second) // and no more come
			all := sentry.Changes()
			raw, _ := json.Marshal(all)
			if len(all) != webhooks+1 || strings.Count(string(raw), "grace@example.com") != 1 {
				t.Errorf("%d: %s", len(all), raw)
			}
		})
	}
}

func (c config) doorPath(i int) string {
	_, path, _ := c.Receive[i].config(c.env)
	return path
}

// TestReadme reads the entries of the README as the configuration has them, and
// runs its shell commands.
func TestReadme(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(raw)
	blocks := func(language string) []string {
		var found []string
		for _, match := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(readme, -1) {
			found = append(found, match[1])
		}
		return found
	}
	doors := 0
	for _, block := range blocks("json") {
		if !strings.HasPrefix(block, `{"product"`) {
			continue
		}
		doors++
		var d door
		decoder := json.NewDecoder(strings.NewReader(block))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&d); err != nil {
			t.Errorf("%s: %v", block, err)
		}
		_, path, err := d.config(func(name string) string {
			return map[bool]string{true: productSecret}[!strings.HasSuffix(name, "_FILE")]
		})
		if err != nil || !strings.Contains(readme, path) && d.Product != "any" {
			t.Errorf("%s: %s, %v", block, path, err)
		}
	}
	if doors != 4 {
		t.Errorf("%d entries", doors)
	}
	sentry, folder := standIn(t), t.TempDir()
	env := environment(sentry, "SENTRY_FLAGS_WEBHOOK_SECRET", sentrySecret, "GROWTHBOOK_WEBHOOK_SECRET", productSecret)
	c, err := readConfig("flagwatch.json", env)
	if err != nil || len(c.Receive) == 0 {
		t.Fatal(err)
	}
	for _, d := range c.Receive {
		if _, _, err := d.config(c.env); err != nil || c.reportsTwice(d) != nil || !c.lends(d.Sources[0]) {
			t.Error(err)
		}
	}
	for _, tool := range []string{"bash", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	write(t, filepath.Join(folder, "flags.json"), demoFlagd)
	s, err := newService(receiving(sentry, folder, door{Product: "growthbook", SecretFrom: "SECRET"}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.webhooks())
	for _, block := range blocks("sh") {
		if !strings.Contains(block, "curl") {
			continue
		}
		command := exec.Command("bash", "-euc", strings.ReplaceAll(block, "http://localhost:8082", server.URL))
		command.Env = append(os.Environ(), "GROWTHBOOK_WEBHOOK_SECRET="+productSecret)
		if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), "200 OK") {
			t.Errorf("%s, %v", out, err)
		}
	}
	wait, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if all, err := sentry.WaitChanges(wait, 1); err != nil || all[0].CreatedBy.ID != "you@example.com" {
		t.Errorf("%+v, %v", all, err)
	}
	server.Close()
	if err := s.close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestReadmeFlipt posts as the README has Flipt configured, to the README's entry.
func TestReadmeFlipt(t *testing.T) {
	var flipt struct {
		Audit struct {
			Sinks struct {
				Webhook struct { // as Flipt 1 names them
					Enabled       bool   `yaml:"enabled"`
					URL           string `yaml:"url"`
					SigningSecret string `yaml:"signing_secret"`
				}
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(readmeYAML(t, "audit:")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&flipt); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var entry door
	if err := json.Unmarshal(regexp.MustCompile(`(?m)^\{"product": "flipt".*\}$`).Find(readme), &entry); err != nil {
		t.Fatal(err)
	}
	sink := flipt.Audit.Sinks.Webhook
	target, err := url.Parse(sink.URL)
	if err != nil || target.Scheme != "https" || !sink.Enabled {
		t.Fatalf("%+v, %v", sink, err)
	}
	sentry, folder := standIn(t), t.TempDir()
	write(t, filepath.Join(folder, "flags.json"), demoFlagd)
	c := receiving(sentry, folder, entry)
	c.env = func(name string) string {
		return map[string]string{strings.TrimPrefix(sink.SigningSecret, "the-value-of-"): sink.SigningSecret}[name]
	}
	s, err := newService(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"version":"0.2","type":"flag","action":"updated","metadata":{"actor":{"authentication":"oidc","email":"you@example.com"}},`+
		`"payload":{"key":"new-checkout","namespace_key":"default"},"timestamp":%q,"status":"success"}`, time.Now().Format(time.RFC3339))
	mac := hmac.New(sha256.New, []byte(sink.SigningSecret))
	mac.Write([]byte(body))
	request := httptest.NewRequest(http.MethodPost, target.Path, strings.NewReader(body))
	request.Header.Set("X-Flipt-Webhook-Signature", hex.EncodeToString(mac.Sum(nil)))
	answer := httptest.NewRecorder()
	s.webhooks().ServeHTTP(answer, request)
	if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "accepted") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	wait, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if all, err := sentry.WaitChanges(wait, 1); err != nil || all[0].CreatedBy.ID != "you@example.com" || all[0].Flag != "new-checkout" {
		t.Errorf("%+v, %v", all, err)
	}
	if err := s.close(t.Context()); err != nil {
		t.Error(err)
	}
}
