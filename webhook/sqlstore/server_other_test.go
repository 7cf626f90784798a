//go:build !linux

package sqlstore_test

// stopOwnServer has nothing to do: the tests with a server of their own are for
// Linux.
func stopOwnServer() {}
