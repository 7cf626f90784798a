package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// visit is one request to the shop, what came of it, and what should have.
type visit struct {
	visitor      user
	method, path string

	status  int
	errorID string // of the error that was reported, if any

	wantError bool
	wantFlags []recordedFlag // on the error
}

// makeVisit makes a request to the shop at origin.
func makeVisit(ctx context.Context, client *http.Client, origin string, v visit) (visit, error) {
	request, err := http.NewRequestWithContext(ctx, v.method, origin+v.path, http.NoBody)
	if err != nil {
		return v, err
	}
	request.Header.Set(visitorHeader, v.visitor.name)
	response, err := client.Do(request)
	if err != nil {
		return v, fmt.Errorf("the shop: %w", err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return v, fmt.Errorf("the shop: %w", err)
	}
	v.status = response.StatusCode
	v.errorID = response.Header.Get(errorHeader)
	return v, nil
}

// compare says how what arrived of a visit differs from what was expected.
func (v visit) compare(arrived []event) (event, error) {
	switch {
	case v.wantError != (v.status == http.StatusInternalServerError):
		return event{}, fmt.Errorf("%s %s as %s answered %d", v.method, v.path, v.visitor.name, v.status)
	case !v.wantError:
		return event{}, nil
	case v.errorID == "":
		return event{}, fmt.Errorf("the error of %s was not reported", v.visitor.name)
	}
	i := slices.IndexFunc(arrived, func(e event) bool { return e.ID == v.errorID })
	if i < 0 {
		return event{}, fmt.Errorf("error %s did not arrive", shortID(v.errorID))
	}
	if difference := differ(v.wantFlags, arrived[i].Contexts.Flags.Values); difference != "" {
		return arrived[i], fmt.Errorf("error %s: %s", shortID(v.errorID), difference)
	}
	return arrived[i], nil
}

// differ describes the first difference between two lists of flags.
func differ(want, got []recordedFlag) string {
	if len(want) != len(got) {
		return fmt.Sprintf("%d flags instead of %d", len(got), len(want))
	}
	for i := range want {
		if !sameName(want[i].Flag, got[i].Flag) || want[i].Result != got[i].Result {
			return fmt.Sprintf("flag %d is %s=%v instead of %s=%v", i+1,
				shorten(got[i].Flag), got[i].Result, shorten(want[i].Flag), want[i].Result)
		}
	}
	return ""
}

// sameName reports whether got is what an error should call the flag. A name
// that Sentry would delete arrives under a legal one in its place.
func sameName(want, got string) bool {
	if legal(want) {
		return got == want
	}
	return legal(got)
}

// legal reports whether Sentry's ingestion keeps the name.
func legal(name string) bool {
	const others = "_.:-"
	return name != "" && len(name) <= 200 && strings.IndexFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(others, c)
	}) < 0
}
