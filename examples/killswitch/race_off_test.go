//go:build !race

package main

import "time"

// answerWithin is how long answers wait for the journal: what the program is shipped
// with.
const answerWithin = time.Duration(0)
