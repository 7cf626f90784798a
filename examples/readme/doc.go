// Package readme holds the lines of code that the README shows, each between
// two markers in a test that runs them. TestREADME keeps the two the same.
package readme
