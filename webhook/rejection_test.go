package webhook

import (
	"strings"
	"testing"
)

func TestRejectionErrorNamesAFewChanges(t *testing.T) {
	e := &RejectionError{Changes: map[int]Fields{}, Request: Fields{"meta.version": {"This field is required."}}}
	for i := range 1000 {
		e.Changes[i] = Fields{"flag": {"Too long."}, "action": {"Bad."}}
	}
	want := ErrRejected.Error() + ": meta.version: This field is required.: change 0: action: Bad.; flag: Too long.; change 1"
	if got := e.Error(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "; and 995 more") {
		t.Errorf("got %s", got)
	}
}
