package changes

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"sync"
	"time"
)

// URLConfig is what a [URL] is made of.
type URLConfig struct {
	// URL is where the document is. Required. It may hold a key: of its parts none
	// is ever shown but what Name defaults to.
	URL string
	// Name is the document's name. Defaults to the last element of the path if it
	// ends in .json, .yaml, .yml or .toml, and to the host if not: it may be a key
	// then. Its extension says what the document is written in; without one of
	// these the first character of the content does.
	Name string
	// Header, if set, adds headers to each request: an Authorization, say. It is a
	// function so that secrets stay where they are, and can be replaced while the
	// program runs.
	Header func(http.Header)
	// Method and Body are for products that publish their document by a POST.
	// Method defaults to GET, or to POST with a Body.
	Method string
	Body   []byte
	// Timeout bounds a request as a whole. Defaults to 10 s.
	Timeout time.Duration
	// Limit is the most bytes of the document, uncompressed. Defaults to
	// [DefaultLimit].
	Limit int64
	// AllowHTTP permits a URL without encryption, within a cluster say.
	AllowHTTP bool
	// Transport makes the requests. Defaults to [http.DefaultTransport].
	Transport http.RoundTripper
}

// ErrInvalidConfig means that a source, a format or a watcher cannot work as it
// is configured. The error names the field and the rule.
var ErrInvalidConfig = errors.New("changes: the configuration is not usable")

func invalid(field, rule string) error {
	return fmt.Errorf("%w: %s %s", ErrInvalidConfig, field, rule)
}

// URL is a document behind a URL. It asks for it only if it has changed, as far
// as the server knows (ETag), now and then in any case, and leaves a server alone
// that asks for that (Retry-After). It follows no redirect, which would take the
// headers to somebody else. It is for one watcher. Make it with [NewURL].
type URL struct {
	config URLConfig
	target func() string // where no printer finds it
	client *http.Client

	mu     sync.Mutex
	etag   string
	last   []byte
	lastAt time.Time

	// refusal is what the server answers, and until when it is not asked again.
	refusal error
	until   time.Time
}

const (
	// askAnyway is how often the whole document is asked for, whatever its ETag:
	// some servers give one that is that of their program.
	askAnyway = 5 * time.Minute
	// askLater is how long a server is left alone that has refused and does not
	// say for how long, and maxAskLater as long as it is at most.
	askLater    = 30 * time.Second
	maxAskLater = 5 * time.Minute
)

var _ Source = (*URL)(nil)

// NewURL makes a source. It fails with [ErrInvalidConfig].
func NewURL(config URLConfig) (*URL, error) {
	target, err := url.Parse(config.URL)
	switch {
	case err != nil || target.Host == "":
		return nil, invalid("URL", "is not a URL")
	case target.Scheme != "https" && (target.Scheme != "http" || !config.AllowHTTP):
		return nil, invalid("URL", "has to begin with https, or with http and AllowHTTP set")
	case config.Timeout < 0 || config.Limit < 0:
		return nil, invalid("Timeout and Limit", "must not be negative")
	}
	if config.Body != nil {
		config.Method = cmp.Or(config.Method, http.MethodPost)
	}
	config.Method = cmp.Or(config.Method, http.MethodGet)
	config.Timeout = cmp.Or(config.Timeout, 10*time.Second)
	if base := path.Base(target.Path); isDocument(base) {
		config.Name = cmp.Or(config.Name, base)
	}
	config.Name = cmp.Or(config.Name, target.Hostname())
	text := target.String()
	config.URL = ""
	return &URL{config: config, target: func() string { return text }, client: &http.Client{
		Transport:     config.Transport,
		Timeout:       config.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Name returns the document's name.
func (u *URL) Name() string { return u.config.Name }

func (u *URL) validate() error {
	if u.client == nil {
		return errors.New("a URL is made with NewURL")
	}
	return nil
}

func (u *URL) limit() int64 { return limitOr(u.config.Limit) }

// Read asks for the document.
func (u *URL) Read(ctx context.Context) (map[string][]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	content, err := u.read(ctx)
	if err != nil {
		return nil, &DocumentError{u.config.Name, err}
	}
	return map[string][]byte{u.config.Name: content}, nil
}

func (u *URL) read(ctx context.Context) ([]byte, error) {
	if time.Until(u.until) > 0 {
		return nil, u.refusal
	}
	var body io.Reader
	if u.config.Body != nil {
		body = bytes.NewReader(u.config.Body)
	}
	request, err := http.NewRequestWithContext(ctx, u.config.Method, u.target(), body)
	if err != nil {
		return nil, invalid("URL or Method", "makes no request") // the cause shows the URL
	}
	if u.config.Body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if u.config.Header != nil {
		u.config.Header(request.Header)
	}
	if u.last != nil && u.etag != "" && time.Since(u.lastAt) < askAnyway {
		request.Header.Set("If-None-Match", u.etag)
	}
	response, err := u.client.Do(request)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		if u.last != nil {
			return u.last, nil
		}
		return nil, errors.New("status 304 without having asked for it")
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("%w: status %d", ErrVanished, response.StatusCode)
	default:
		u.refusal = noDocument(response.StatusCode)
		u.until = time.Now().Add(leaveAlone(response.StatusCode, response.Header.Get("Retry-After")))
		return nil, u.refusal
	}
	content, err := readLimited(response.Body, max(response.ContentLength, 0), limitOr(u.config.Limit))
	if err != nil {
		return nil, withoutURL(err)
	}
	u.etag, u.last, u.lastAt = response.Header.Get("ETag"), content, time.Now()
	return content, nil
}

// leaveAlone is how long a server that has refused is not asked: as it says, and
// otherwise a while if asking is what it minds.
func leaveAlone(status int, retryAfter string) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(retryAfter, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(retryAfter); err == nil {
		wait = time.Until(at)
	}
	switch status {
	case http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusForbidden:
		wait = cmp.Or(max(wait, 0), askLater)
	}
	return min(wait, maxAskLater)
}

// noDocument says what an answer without a document means.
func noDocument(status int) error {
	what := "this is no document"
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		what = "the server does not take the credential, or there is none; check the headers and the URL"
	case status == http.StatusTooManyRequests:
		what = "the server is asked too often, and is left alone for a while; look less often"
	case status >= 300 && status < 400:
		what = "a redirect is not followed, it would take the headers along; set the URL that answers itself"
	case status >= 500:
		what = "the server is in trouble; it is asked again"
	}
	return fmt.Errorf("status %d: %s", status, what)
}

// withoutURL is an error of a request that does not show where it went.
func withoutURL(err error) error {
	if fault, ok := errors.AsType[*url.Error](err); ok {
		err = fault.Err
	}
	return fmt.Errorf("no document: %w", err)
}
