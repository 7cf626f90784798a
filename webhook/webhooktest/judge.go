package webhooktest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sentryflags/sentryflags-go/signing"
)

// judge says what Sentry would answer and which changes it would store, in
// Sentry's order of checks. Entries are all of a request's or none.
func (h *Handler) judge(r *http.Request, body []byte) (answer, []entry) {
	organization, provider, ok := splitPath(r.URL.Path)
	if !ok {
		return noRoute(r), nil
	}
	switch {
	case r.Method != http.MethodPost:
		return notAllowed(r.Method, "POST, OPTIONS"), nil
	case provider != "generic":
		return noResource, nil
	case organization != h.config.Organization || !h.isSigned(r, body):
		return notAuthorized, nil
	}
	return h.judgeBody(r.Header.Get("Content-Type"), body)
}

// splitPath takes the endpoint's path apart.
func splitPath(path string) (organization, provider string, ok bool) {
	rest, isAPI := strings.CutPrefix(path, apiPath)
	organization, provider, isHook := strings.Cut(rest, hookPrefix)
	provider, slash := strings.CutSuffix(provider, "/")
	ok = isAPI && isHook && slash && organization != "" && provider != "" &&
		!strings.Contains(organization, "/") && !strings.Contains(provider, "/")
	return organization, provider, ok
}

// noRoute is Sentry's answer to a path that it does not have.
func noRoute(r *http.Request) answer {
	if strings.HasSuffix(r.URL.Path, "/") {
		return answer{status: http.StatusNotFound, contentType: "text/html; charset=utf-8"}
	}
	hint := "Route not found, did you forget a trailing slash? try: " + r.URL.Path + "/"
	return jsonAnswer(http.StatusNotFound, `{"info": `+encodeJSON(hint)+`}`)
}

func notAllowed(method, allowed string) answer {
	return detailAnswer(http.StatusMethodNotAllowed, fmt.Sprintf("Method %q not allowed.", method)).with("Allow", allowed)
}

func unreadable(err error) answer {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return answer{
			status:      http.StatusRequestEntityTooLarge,
			contentType: "text/html",
			body:        []byte("<html><head><title>413 Request Entity Too Large</title></head></html>\n"),
		}
	}
	return detailAnswer(http.StatusBadRequest, "Bad request")
}

// isSigned compares as Sentry does: as text, over the bytes received.
func (h *Handler) isSigned(r *http.Request, body []byte) bool {
	keys, _ := signing.NewKeys(h.Secret()) // of none that is saved none, which verify nothing
	// Several fields of one name reach Sentry joined by commas.
	signature := strings.Join(r.Header.Values(signing.Header), ",")
	return signing.Verify(keys, body, signature) == nil
}

// judgeBody judges a body that is authentic. A form is taken by Sentry too, but
// has none of the fields.
func (h *Handler) judgeBody(contentType string, body []byte) (answer, []entry) {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	var v any = map[string]any{}
	switch {
	case len(body) == 0, mediaType == "application/x-www-form-urlencoded":
	case mediaType != "application/json":
		return detailAnswer(http.StatusUnsupportedMediaType, fmt.Sprintf("Unsupported media type \"%s\" in request.", contentType)), nil
	default:
		var err error
		if v, err = parseJSON(body); err != nil {
			return detailAnswer(http.StatusBadRequest, "JSON parse error - "+err.Error()), nil
		}
	}
	entries, wrong := rules{maxFlag: h.config.MaxFlag, shape: h.config.ErrorShape}.payload(v)
	if wrong == nil {
		return stored, entries
	}
	return jsonAnswer(http.StatusOK, encodeJSON(wrong)), nil
}
