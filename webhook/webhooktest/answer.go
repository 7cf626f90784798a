package webhooktest

import (
	"net/http"
	"strconv"
	"time"
)

// An answer is what Sentry says. A nil body has no Content-Type either.
type answer struct {
	status      int
	contentType string
	body        []byte
	header      http.Header // further fields, may be nil
}

func jsonAnswer(status int, body string) answer {
	return answer{status: status, contentType: "application/json", body: []byte(body)}
}

// detailAnswer is how Django REST framework words an error.
func detailAnswer(status int, detail string) answer {
	return jsonAnswer(status, `{"detail":`+encodeJSON(detail)+`}`)
}

var (
	stored        = answer{status: http.StatusOK}
	notAuthorized = jsonAnswer(http.StatusUnauthorized, `"Not authorized."`)
	forbidden     = detailAnswer(http.StatusForbidden, "You do not have permission to perform this action.")
	noResource    = detailAnswer(http.StatusNotFound, "The requested resource does not exist")
	internalError = jsonAnswer(http.StatusInternalServerError, `{"detail":"Internal Error","errorId":"0123456789abcdef0123456789abcdef"}`)
)

// write sends the answer; a broken connection is the client's affair.
func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.contentType != "" {
		w.Header().Set("Content-Type", a.contentType)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func (a answer) with(name, value string) answer {
	header := a.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set(name, value)
	a.header = header
	return a
}

// rateLimited is the 429 of Sentry's rate limiter, which is JSON in all but its
// type.
func rateLimited(reset time.Time) answer {
	return answer{
		status:      http.StatusTooManyRequests,
		contentType: "text/html; charset=utf-8",
		body:        []byte(`{"detail": "You are attempting to use this endpoint too frequently. Limit is 40 requests in 1 seconds"}`),
		header: http.Header{
			"X-Sentry-Rate-Limit-Remaining": {"0"},
			"X-Sentry-Rate-Limit-Limit":     {"40"},
			"X-Sentry-Rate-Limit-Reset":     {strconv.FormatInt(reset.Unix(), 10)},
		},
	}
}
