package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

// Console is the page. Mount it where its path ends in a slash, with what is
// before it stripped: http.StripPrefix("/console", console) for "/console/".
type Console struct {
	config Config
	guard  *guard
	mux    *http.ServeMux
	tally  tally
}

var _ http.Handler = (*Console)(nil)

// New makes the page. It starts nothing. Its error is [ErrInvalidConfig].
func New(config Config) (*Console, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	guard, err := newGuard(config)
	if err != nil {
		return nil, err
	}
	c := &Console{config: config, guard: guard, mux: http.NewServeMux()}
	c.mux.HandleFunc("GET /{$}", c.overview)
	if config.Inspector != nil {
		c.mux.HandleFunc("GET /letter", c.showLetter)
		c.mux.HandleFunc("POST /letter", c.actOnLetter)
		c.mux.HandleFunc("GET /letters", c.showMany)
		c.mux.HandleFunc("POST /letters", c.actOnMany)
		c.mux.HandleFunc("POST /resume", c.resume)
	}
	if config.Switches != nil {
		c.mux.HandleFunc("GET /flag", c.showFlag)
		c.mux.HandleFunc("POST /flag", c.restoreFlag)
		c.mux.HandleFunc("GET /switch", c.showSwitch)
		c.mux.HandleFunc("POST /switch", c.actOnSwitch)
	}
	return c, nil
}

const (
	// storeTime is how long a page may wait for the store, and actTime how long
	// what somebody does may take.
	storeTime = 3 * time.Second
	actTime   = 20 * time.Second
	// maxForm is the largest form.
	maxForm = 64 << 10
)

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	user, no := c.guard.admit(w, r)
	if no.status != 0 {
		http.Error(w, no.text, no.status)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	c.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
}

type userKey struct{}

func userOf(r *http.Request) string { return r.Context().Value(userKey{}).(string) }

var (
	//go:embed page.html
	pageText string
	//go:embed style.css
	styleText string
	//go:embed script.js
	scriptText string

	pages = template.Must(template.New("page").Funcs(template.FuncMap{
		"shown": shown, "grouped": grouped, "length": length, "cause": causeOf,
		"at":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"float": func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) },
	}).Parse(pageText))

	policy = "default-src 'none'; style-src " + sourceOf(styleText) + "; script-src " + sourceOf(scriptText) +
		"; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

// sourceOf is how a policy names a text within the page.
func sourceOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// secure sets what the browser is to keep to.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // without any a form's origin would be "null"
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// frame is what all pages have in common.
type frame struct {
	Title  string
	User   string
	Now    time.Time
	Style  template.CSS
	Script template.JS
	// Body is the name of the template with the rest, for which View is.
	Body string
	View any
	// Notice and Problem tell how it went.
	Notice, Problem string
}

// render answers with a page.
func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, f frame) {
	f.Title, f.User, f.Now = c.config.Title, userOf(r), time.Now()
	f.Style = template.CSS(styleText)  //nolint:gosec // our own
	f.Script = template.JS(scriptText) //nolint:gosec // our own
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, "page", f); err != nil {
		c.config.Logger.Error("console: cannot make a page", "error", err)
		http.Error(w, "The page cannot be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(page.Len()))
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}
