package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// maxEnvelope bounds an envelope, compressed or not, in bytes.
const maxEnvelope = 20 << 20

// ingestion is a stand-in for the endpoint that Sentry's SDKs send events to.
// It takes envelopes for one project and one key and keeps the error events.
type ingestion struct {
	project string
	key     string

	mu     sync.Mutex
	events []event
}

// dsn returns what an SDK needs to reach the endpoint at origin.
func (i *ingestion) dsn(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	u.User = url.User(i.key)
	u.Path = "/" + i.project
	return u.String()
}

// arrived returns the events received so far.
func (i *ingestion) arrived() []event {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.events)
}

func (i *ingestion) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/api/"+i.project+"/envelope/" {
		answer(w, http.StatusNotFound, "no such project or endpoint")
		return
	}
	if r.Method != http.MethodPost {
		answer(w, http.StatusMethodNotAllowed, "envelopes are posted")
		return
	}
	body, err := readEnvelope(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, errEnvelopeTooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		answer(w, status, err.Error())
		return
	}
	parsed, err := parseEnvelope(body)
	if err != nil {
		answer(w, http.StatusBadRequest, "malformed envelope: "+err.Error())
		return
	}
	if !i.admits(r, parsed.DSN) {
		answer(w, http.StatusForbidden, "missing or unknown key")
		return
	}
	i.mu.Lock()
	i.events = append(i.events, parsed.Events...)
	i.mu.Unlock()
	answer(w, http.StatusOK, "")
}

// admits checks the key where an SDK may put it: in a header, in the query, or
// as a DSN in the envelope.
func (i *ingestion) admits(r *http.Request, dsn string) bool {
	if auth, ok := strings.CutPrefix(r.Header.Get("X-Sentry-Auth"), "Sentry "); ok {
		for pair := range strings.SplitSeq(auth, ",") {
			if key, ok := strings.CutPrefix(strings.TrimSpace(pair), "sentry_key="); ok {
				return key == i.key
			}
		}
	}
	if key := r.URL.Query().Get("sentry_key"); key != "" {
		return key == i.key
	}
	u, err := url.Parse(dsn)
	return err == nil && u.User.Username() == i.key
}

var errEnvelopeTooLarge = fmt.Errorf("envelope larger than %d MiB", maxEnvelope>>20)

// readEnvelope reads a request's body through the limit, twice if it is
// compressed.
func readEnvelope(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := readLimited(http.MaxBytesReader(w, r.Body, maxEnvelope))
	if err != nil {
		return nil, err
	}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return body, nil
	case "gzip":
		reader, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return readLimited(http.MaxBytesReader(w, reader, maxEnvelope))
	default:
		return nil, fmt.Errorf("content encoding %q is not supported here", encoding)
	}
}

func readLimited(reader io.Reader) ([]byte, error) {
	body, err := io.ReadAll(reader)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, errEnvelopeTooLarge
	}
	return body, err
}

func answer(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	content := map[string]string{}
	if detail != "" {
		content["detail"] = detail
	}
	// The client that is gone needs no answer.
	_ = json.NewEncoder(w).Encode(content)
}
