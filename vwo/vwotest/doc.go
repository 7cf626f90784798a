// Package vwotest has a stand-in for the parts of VWO's API that package vwo
// uses, in the manner of net/http/httptest: for tests of your own code and for
// demonstrations. It judges the method, the path, the token and the body, keeps
// the states, and can be told to fail.
//
// What it is not for: it does not evaluate flags, and it knows of VWO only what
// is published.
package vwotest
