package webhook

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain proves that nothing outlives the tests. A test server that refused a
// body half-way lingers for half a second on the connection; it ends by itself.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}
