package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// logsPerPage is the most that Sentry returns at once.
	logsPerPage = 100
	// maxLogsAnswer bounds what is read of one page.
	maxLogsAnswer = 4 << 20
)

// LogsQuery narrows what [Client.Logs] reads. Its zero value is everything of
// the last 90 days that came through the generic provider.
type LogsQuery struct {
	// Flags are the flags to read about, as they were sent: with
	// [Config.ShownNames] they are translated as those of changes are. Defaults
	// to all.
	Flags []string

	// Start and End bound Change.CreatedAt: from Start, inclusive, to End,
	// exclusive. Set both or neither. Neither means the last 90 days; a change
	// dated in the future shows only if End lies beyond it.
	Start, End time.Time

	// AllProviders includes the changes that other providers have reported.
	AllProviders bool
}

func (q LogsQuery) values() (url.Values, error) {
	values := url.Values{
		"per_page": {fmt.Sprint(logsPerPage)},
		"sort":     {"-created_at"},
	}
	if len(q.Flags) > 0 {
		values["flag"] = q.Flags
	}
	if !q.AllProviders {
		values.Set("provider", "generic")
	}
	switch {
	case q.Start.IsZero() != q.End.IsZero():
		return nil, errors.New("webhook: LogsQuery needs both Start and End, or neither")
	case q.Start.IsZero():
		return values, nil
	case !q.Start.Before(q.End):
		return nil, errors.New("webhook: LogsQuery.Start has to lie before End")
	}
	values.Set("start", q.Start.UTC().Format(timeFormat))
	values.Set("end", q.End.UTC().Format(timeFormat))
	return values, nil
}

// LogEntry is a row of Sentry's flag log. Sentry does not keep the ChangeID: a
// change is recognised by its action, time, author and flag.
type LogEntry struct {
	// ID is Sentry's own number of the row.
	ID int64
	// Action, CreatedAt, CreatedBy and Flag are those of the [Change].
	// CreatedBy is empty where Sentry knows no author.
	Action    Action
	CreatedAt time.Time
	CreatedBy Author
	Flag      string
	// Provider is who reported the change, "generic" for this package; empty
	// for rows older than providers.
	Provider string
}

// Logs reads Sentry's flag log back, newest change first, to prove what has
// arrived. The token is one of a user or an internal integration with the scope
// org:read; an organisation auth token is not enough. It goes to the host of
// [Config] only.
//
// Pages are read as the loop goes on. An error ends it: an [*AnswerError], whose
// [ErrUnauthorized] is about the token here, or the context's.
//
//	for entry, err := range client.Logs(ctx, token, webhook.LogsQuery{}) {
//		if err != nil {
//			return err
//		}
//		…
//	}
func (c *Client) Logs(ctx context.Context, token string, query LogsQuery) iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		if err := c.logs(ctx, strings.TrimSpace(token), query, func(e LogEntry) bool { return yield(e, nil) }); err != nil {
			yield(LogEntry{}, fmt.Errorf("webhook: read the flag log: %w", err))
		}
	}
}

func (c *Client) logs(ctx context.Context, token string, query LogsQuery, yield func(LogEntry) bool) error {
	if ctx == nil {
		return errNilContext
	}
	if err := c.usable(); err != nil {
		return err
	}
	if !validToken(token) {
		return errors.New("webhook: the token is empty or no token; create one in Sentry under User Auth Tokens, with the scope org:read")
	}
	if c.shownNames {
		query.Flags = slices.Clone(query.Flags)
		for i, flag := range query.Flags {
			query.Flags[i] = ShownName(trim(flag))
		}
	}
	values, err := query.values()
	if err != nil {
		return err
	}
	read := make(map[string]bool) // cursors, so that no answer makes the loop endless
	for {
		entries, cursor, err := c.logsPage(ctx, token, values)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if !yield(entry) {
				return nil
			}
		}
		if cursor == "" || read[cursor] {
			return nil
		}
		read[cursor] = true
		values.Set("cursor", cursor)
	}
}

// validToken reports whether a header can carry the token.
func validToken(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (c *Client) logsPage(ctx context.Context, token string, values url.Values) ([]LogEntry, string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	target := *c.endpoint
	target.Path = strings.TrimSuffix(target.Path, "hooks/provider/generic/") + "logs/"
	target.RawQuery = values.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, "", errors.New("webhook: make a request")
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("User-Agent", userAgent)
	response, err := c.roundTrip(request)
	if err != nil {
		_, connecting := reason(err)
		return nil, "", noAnswer(ctx, 0, !connecting, err)
	}
	defer response.Body.Close()
	return readLogs(ctx, response)
}

// logsAdvice is what to do where it is not what it is for a change that is sent.
var logsAdvice = map[error]string{
	ErrUnauthorized: "webhook: the token is not authorized; it needs the scope org:read and an owner who belongs to the organisation, and must not be an organisation's",
	ErrNotFound:     "webhook: not found; check the URL's organisation, that the token's owner belongs to it, and that the server has a flag log",
	ErrRefused:      "webhook: the server does not understand the question; it may be too old, or a proxy has changed it",
}

// readLogs reads one page and the cursor of the next, empty if there is none.
func readLogs(ctx context.Context, response *http.Response) ([]LogEntry, string, error) {
	if response.StatusCode/100 != 2 {
		err := interpret(ctx, response, 0)
		if answer, ok := errors.AsType[*AnswerError](err); ok {
			answer.advice = logsAdvice[answer.kind]
		}
		return nil, "", err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxLogsAnswer+1))
	if err != nil {
		return nil, "", noAnswer(ctx, response.StatusCode, true, err)
	}
	entries, err := parseLogs(body)
	if err != nil || len(body) > maxLogsAnswer || response.StatusCode != http.StatusOK {
		return nil, "", &AnswerError{Status: response.StatusCode, kind: ErrUnexpectedAnswer, Detail: detailOf(response, body)}
	}
	return entries, nextCursor(response.Header.Values("Link")), nil
}

func parseLogs(body []byte) ([]LogEntry, error) {
	var page struct {
		Data *[]struct {
			ID            int64      `json:"id"`
			Action        Action     `json:"action"`
			CreatedAt     time.Time  `json:"createdAt"`
			CreatedBy     string     `json:"createdBy"`
			CreatedByType AuthorType `json:"createdByType"`
			Flag          string     `json:"flag"`
			Provider      string     `json:"provider"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, err
	}
	if page.Data == nil {
		return nil, errors.New("no data")
	}
	entries := make([]LogEntry, len(*page.Data))
	for i, row := range *page.Data {
		entries[i] = LogEntry{
			ID: row.ID, Action: row.Action, CreatedAt: row.CreatedAt.UTC(),
			CreatedBy: Author{ID: row.CreatedBy, Type: row.CreatedByType}, Flag: row.Flag, Provider: row.Provider,
		}
	}
	return entries, nil
}

// nextCursor returns the cursor of the next page from Link headers of the form
// <…>; rel="next"; results="true"; cursor="0:100:0". The URL in them is not
// used: it could lead the token elsewhere.
func nextCursor(links []string) string {
	for _, header := range links {
		for rest := header; rest != ""; {
			// A URL may hold commas and semicolons; skip to its end.
			_, after, found := strings.Cut(rest, ">")
			if !found {
				break
			}
			var attributes string
			attributes, rest, _ = strings.Cut(after, "<")
			if attribute(attributes, "rel") == "next" && attribute(attributes, "results") == "true" {
				return attribute(attributes, "cursor")
			}
		}
	}
	return ""
}

// attribute returns the value of name="value" among attributes.
func attribute(attributes, name string) string {
	for part := range strings.SplitSeq(attributes, ";") {
		key, value, _ := strings.Cut(strings.Trim(part, " ,"), "=")
		if strings.TrimSpace(key) == name {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}
