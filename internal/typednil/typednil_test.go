package typednil_test

import (
	"fmt"
	"testing"

	"github.com/sentryflags/sentryflags-go/internal/typednil"
)

type list []int

func (list) String() string { return "" }

type function func()

func (function) String() string { return "" }

type pointer struct{}

func (*pointer) String() string { return "" }

func TestIn(t *testing.T) {
	for _, c := range []struct {
		v    fmt.Stringer
		want bool
	}{
		{nil, false},
		{(*pointer)(nil), true},
		{&pointer{}, false},
		{function(nil), true},
		{function(func() {}), false},
		{list(nil), false}, // works as it is
	} {
		if got := typednil.In(c.v); got != c.want {
			t.Errorf("%T: %t", c.v, got)
		}
	}
}
