// Package browser tests the console in a real browser.
package browser
