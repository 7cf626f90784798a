package vwo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/request"
	"github.com/sentryflags/sentryflags-go/internal/visible"
)

// maxAnswer bounds what is read of an answer: a page of a hundred features with
// their variables takes some hundred KiB.
const maxAnswer = 4 << 20

// judge returns the body of a success; anything else is an *AnswerError.
func (c *Client) judge(response *http.Response) ([]byte, error) {
	status := response.StatusCode
	if status < 200 {
		// 101: the body is the bare connection, which ends with no deadline.
		return nil, &AnswerError{Status: status, cause: ErrUnexpectedAnswer}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if status/100 == 2 {
		switch {
		case err != nil:
			return nil, c.noAnswer(status, err)
		case len(body) > maxAnswer:
			return nil, &AnswerError{Status: status, cause: ErrUnexpectedAnswer, Detail: fmt.Sprintf("the body is longer than %d bytes", maxAnswer)}
		}
		return body, nil
	}
	answer := &AnswerError{Status: status, cause: causeOf(status)}
	answer.Code, answer.Detail = c.detailOf(body)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		answer.RetryAfter = max(request.RetryAfter(response.Header, time.Now(), maxPause), MinPause)
	}
	return nil, answer
}

func causeOf(status int) error {
	switch {
	case status/100 == 3:
		return ErrRedirected
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ErrUnauthorized
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusTooManyRequests:
		return ErrRateLimited
	case status == http.StatusRequestTimeout, status >= 500:
		return ErrUnavailable
	case status/100 == 4:
		return ErrRefused
	default:
		return ErrUnexpectedAnswer
	}
}

// detailOf reads VWO's error body; of anything else, which may be a proxy's
// echo of the request, it tells only the size.
func (c *Client) detailOf(body []byte) (code int, detail string) {
	var answer struct {
		Errors []struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"_errors"`
	}
	switch {
	case len(body) == 0:
		return 0, ""
	case json.Unmarshal(body, &answer) != nil, len(answer.Errors) == 0:
		return 0, fmt.Sprintf("a body of %d bytes that is not VWO's", len(body))
	}
	return answer.Errors[0].Code, visible.Quote(c.scrub(answer.Errors[0].Message))
}

// noAnswer is the error for a request whose answer did not arrive, or not to
// its end.
func (c *Client) noAnswer(status int, cause error) error {
	// A url.Error prints the whole URL, and says nothing more.
	if wrapped, ok := errors.AsType[*url.Error](cause); ok {
		cause = wrapped.Err
	}
	// A transport of the caller's may have put the request into its error, and
	// the standard one quotes the URL of a proxy.
	if text := cause.Error(); c.scrub(text) != text || strings.Contains(text, "://") {
		return &AnswerError{Status: status, cause: ErrUnavailable, Detail: "no answer (the cause shows a URL or the token and is left out)"}
	}
	return &AnswerError{Status: status, cause: ErrUnavailable, Detail: visible.First(cause.Error(), 200), inner: cause}
}

// scrub takes the token out of foreign text.
func (c *Client) scrub(text string) string {
	token := c.token.plain()
	for _, spelled := range []string{token, url.QueryEscape(token), url.PathEscape(token)} {
		text = strings.ReplaceAll(text, spelled, redacted)
	}
	return text
}

// onOff is a boolean that may come as 0 or 1, as VWO's own action sends it.
type onOff struct{ on, known bool }

func (o *onOff) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "true", "1":
		*o = onOff{on: true, known: true}
	case "false", "0":
		*o = onOff{on: false, known: true}
	default:
		*o = onOff{}
	}
	return nil
}
