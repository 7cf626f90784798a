// Package api holds the exported names of each package as text, in testdata, so that a change of them is seen in
// review. Its test compares; to write the text anew:
//
//	go test ./internal/api -update
package api
