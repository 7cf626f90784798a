package vwotest

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config is what a [Server] starts with. The zero value gives an account with
// one project, whose environments are "production" and "staging", and without
// features.
type Config struct {
	// Token is what requests must carry. Defaults to "vwotest-token".
	Token string
	// Account is the account's id; "current" is taken as well. Defaults to
	// "123456".
	Account string
	// Environments are known by these names as their SDK keys, and by the ids
	// 1, 2, 3 and so on. Default to "production" and "staging".
	Environments []string
	// Features are known by these names as their keys, and by the ids 1, 2, 3
	// and so on. All are on at the start.
	Features []string
	// Interval is the shortest time between two requests; one that comes sooner
	// is answered with 429, as VWO does at one second. 0 is no limit.
	Interval time.Duration
}

// Toggle is one change of state that the server has confirmed.
type Toggle struct {
	// Environment and Feature are the SDK key and the feature key, however they
	// were named in the request.
	Environment, Feature string
	Enabled              bool
	At                   time.Time
}

// Fault makes the server misbehave. The zero value is good behaviour.
type Fault struct {
	// Status, if not 0, is answered in place of anything else, with an error
	// body as VWO sends it.
	Status int
	// Header is added to the answer, as Retry-After.
	Header http.Header
	// Body, if not empty, replaces the answer's body.
	Body string
	// Delay is waited for before the answer, or until the request ends.
	Delay time.Duration
	// Hang keeps the request until the client gives up or the server closes.
	Hang bool
	// Break cuts the connection without an answer.
	Break bool
	// Applied makes the toggle take effect although the answer fails, as when
	// an answer is lost on the way.
	Applied bool
}

// Server is the stand-in. Make one with [NewServer] and close it.
type Server struct {
	// URL is the base URL, as for vwo.ClientConfig.
	URL string

	config Config
	http   *httptest.Server
	closed chan struct{} // hanging requests end with it

	release  sync.Once
	mu       sync.Mutex
	fault    func(*http.Request) Fault
	states   map[[2]string]bool
	toggles  []Toggle
	requests int
	last     time.Time
}

// NewServer starts a stand-in on loopback.
func NewServer(config Config) *Server {
	s := newServer(config)
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL + "/api/v2"
	return s
}

// NewHandler makes a stand-in without a listener: use it as an http.Handler.
// Its URL is empty and it need not be closed.
func NewHandler(config Config) *Server { return newServer(config) }

func newServer(config Config) *Server {
	config.Token = cmp.Or(config.Token, "vwotest-token")
	config.Account = cmp.Or(config.Account, "123456")
	if len(config.Environments) == 0 {
		config.Environments = []string{"production", "staging"}
	}
	s := &Server{config: config, closed: make(chan struct{}), states: map[[2]string]bool{}}
	for _, e := range config.Environments {
		for _, f := range config.Features {
			s.states[[2]string{e, f}] = true
		}
	}
	return s
}

// Release lets go of every request that hangs, as if the connections broke, and
// of those that would hang after it.
func (s *Server) Release() { s.release.Do(func() { close(s.closed) }) }

// Close ends the server and every request that hangs in it.
func (s *Server) Close() {
	s.Release()
	if s.http != nil {
		s.http.CloseClientConnections()
		s.http.Close()
	}
}

// Token returns the token that requests must carry.
func (s *Server) Token() string { return s.config.Token }

// SetFault makes every following request fail as given; the zero Fault ends it.
func (s *Server) SetFault(fault Fault) {
	s.SetFaults(func(*http.Request) Fault { return fault })
}

// SetFaults asks choose about every following request. It is called from
// several goroutines. Nil ends it.
func (s *Server) SetFaults(choose func(*http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = choose
}

// Enabled returns the state of a feature, both named by their keys.
func (s *Server) Enabled(environment, feature string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[[2]string{environment, feature}]
}

// SetEnabled sets a state as a person would in VWO's user interface.
func (s *Server) SetEnabled(environment, feature string, enabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[[2]string{environment, feature}] = enabled
}

// States returns the features of an environment with their states.
func (s *Server) States(environment string) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := map[string]bool{}
	for key, enabled := range maps.All(s.states) {
		if key[0] == environment {
			states[key[1]] = enabled
		}
	}
	return states
}

// Toggles returns the toggles that were confirmed, in their order.
func (s *Server) Toggles() []Toggle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.toggles)
}

// Requests returns how many requests have arrived, refused ones included.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// ServeHTTP answers as VWO does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The body is read first, so that the server notices when the client goes.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		fail(w, http.StatusBadRequest, "the body cannot be read")
		return
	}
	fault, tooSoon := s.arrive(r)
	if fault != nil && s.misbehave(w, r, body, *fault) {
		return
	}
	if tooSoon {
		fail(w, http.StatusTooManyRequests, "Too many requests")
		return
	}
	answer, status, message := s.answer(r, body)
	if status != http.StatusOK {
		fail(w, status, message)
		return
	}
	reply(w, http.StatusOK, map[string]any{"_data": answer})
}

// arrive counts a request and returns the fault chosen for it, if any.
func (s *Server) arrive(r *http.Request) (fault *Fault, tooSoon bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	now := time.Now()
	tooSoon = s.config.Interval > 0 && !s.last.IsZero() && now.Sub(s.last) < s.config.Interval
	s.last = now
	if s.fault != nil {
		chosen := s.fault(r)
		fault = &chosen
	}
	return fault, tooSoon
}

// misbehave reports whether it has dealt with the request.
func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, body []byte, fault Fault) bool {
	if fault.Applied {
		s.answer(r, body)
	}
	delay := fault.Delay
	if fault.Hang {
		delay = time.Hour
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return true
		case <-s.closed:
			panic(http.ErrAbortHandler)
		}
	}
	if fault.Break {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), fault.Header)
	switch {
	case fault.Body != "":
		w.WriteHeader(cmp.Or(fault.Status, http.StatusOK))
		_, _ = io.WriteString(w, fault.Body)
		return true
	case fault.Status != 0:
		fail(w, fault.Status, http.StatusText(fault.Status))
		return true
	}
	return false
}

// answer does what a well-behaved request asks.
func (s *Server) answer(r *http.Request, body []byte) (data any, status int, message string) {
	parts := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/api/v2"), "/"), "/")
	if len(parts) < 3 || parts[0] != "accounts" {
		return nil, http.StatusNotFound, "Not found"
	}
	given, inQuery := r.Header.Get("Token"), false
	if given == "" && r.URL.Query().Has("authToken") {
		given, inQuery = r.URL.Query().Get("authToken"), true
	}
	switch {
	case given == "":
		return nil, http.StatusUnauthorized, "Token is missing"
	case subtle.ConstantTimeCompare([]byte(given), []byte(s.config.Token)) != 1:
		return nil, http.StatusForbidden, "Access denied"
	case parts[1] != "current" && parts[1] != s.config.Account:
		return nil, http.StatusNotFound, "Account not found"
	}
	route := parts[2:]
	switch {
	case r.Method == http.MethodGet && slices.Equal(route, []string{"features"}):
		return s.features(r), http.StatusOK, ""
	case r.Method == http.MethodGet && slices.Equal(route, []string{"projects"}):
		return s.projects(), http.StatusOK, ""
	case r.Method == http.MethodGet && len(route) == 2 && route[0] == "features":
		i := find(s.config.Features, route[1])
		if i < 0 {
			return nil, http.StatusNotFound, "Feature not found"
		}
		return feature(i, s.config.Features[i]), http.StatusOK, ""
	case len(route) == 5 && route[0] == "environments" && route[2] == "features" && route[4] == "toggle":
		return s.toggle(r, route[1], route[3], inQuery, body)
	}
	return nil, http.StatusNotFound, "Not found"
}

func (s *Server) toggle(r *http.Request, environment, feature string, inQuery bool, body []byte) (any, int, string) {
	enabled, err := wanted(r, inQuery, body)
	if err != nil {
		return nil, http.StatusBadRequest, err.Error()
	}
	e, f := find(s.config.Environments, environment), find(s.config.Features, feature)
	if e < 0 || f < 0 {
		return nil, http.StatusNotFound, "Environment or feature not found"
	}
	done := Toggle{Environment: s.config.Environments[e], Feature: s.config.Features[f], Enabled: enabled, At: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[[2]string{done.Environment, done.Feature}] = enabled
	s.toggles = append(s.toggles, done)
	return map[string]any{feature: map[string]any{"isEnabled": enabled}}, http.StatusOK, ""
}

// wanted reads the state from a PATCH's body or from a trigger's query.
func wanted(r *http.Request, inQuery bool, body []byte) (bool, error) {
	text := r.URL.Query().Get("isEnabled")
	switch {
	case inQuery && r.Method == http.MethodPost:
	case !inQuery && r.Method == http.MethodPatch:
		var request struct {
			IsEnabled json.RawMessage `json:"isEnabled"`
		}
		if err := json.Unmarshal(body, &request); err != nil {
			return false, fmt.Errorf("the body is not JSON")
		}
		text = string(request.IsEnabled)
	default:
		return false, fmt.Errorf("the method does not fit the form of the token")
	}
	switch text {
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, fmt.Errorf("isEnabled is missing or no boolean")
}

// find returns the position of a name, given as itself or as its id.
func find(names []string, idOrKey string) int {
	if i := slices.Index(names, idOrKey); i >= 0 {
		return i
	}
	if id, err := strconv.Atoi(idOrKey); err == nil && id >= 1 && id <= len(names) {
		return id - 1
	}
	return -1
}

func feature(i int, key string) map[string]any {
	return map[string]any{"id": i + 1, "featureKey": key, "name": key, "featureType": "TEMPORARY"}
}

func (s *Server) features(r *http.Request) []map[string]any {
	offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	offset, limit = max(offset, 0), max(cmp.Or(limit, 10), 0)
	page := []map[string]any{}
	for i, key := range s.config.Features {
		if i >= offset && len(page) < limit {
			page = append(page, feature(i, key))
		}
	}
	return page
}

func (s *Server) projects() []map[string]any {
	environments := []map[string]any{}
	for i, key := range s.config.Environments {
		environments = append(environments, map[string]any{"id": i + 1, "name": key, "token": key})
	}
	return []map[string]any{{"id": 1, "name": "Default", "environments": environments}}
}

func fail(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]any{"_errors": []map[string]any{{"code": status, "message": message}}})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
