package webhook

import "net/http"

// redirectTo is where [answering] leaves the Location of a redirect.
const redirectTo = "Redirected-To"

// answering makes an http.Client return every answer as it came. By itself the
// client turns a redirected POST into a GET without a body, and an answer with a
// Location that it cannot parse into an error that quotes it.
type answering struct{ next http.RoundTripper }

func (a answering) RoundTrip(request *http.Request) (*http.Response, error) {
	next := a.next
	if next == nil {
		next = http.DefaultTransport
	}
	response, err := next.RoundTrip(request)
	if err == nil && response != nil && response.StatusCode/100 == 3 {
		response.Header.Set(redirectTo, response.Header.Get("Location"))
		response.Header.Del("Location")
	}
	return response, err
}
