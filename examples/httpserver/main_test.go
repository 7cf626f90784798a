package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEachErrorCarriesTheFlagsOfItsOwnRequest(t *testing.T) {
	const want = `outside of any request   no flags
search failed for ada    {"values":[{"flag":"vector-search","result":true},{"flag":"rerank-results","result":true}]}
search failed for grace  {"values":[{"flag":"vector-search","result":false}]}
search failed for joan   {"values":[{"flag":"vector-search","result":true},{"flag":"rerank-results","result":true}]}
search failed for mary   {"values":[{"flag":"vector-search","result":false}]}
`
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}
