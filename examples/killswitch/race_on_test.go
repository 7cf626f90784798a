//go:build race

package main

import "time"

// answerWithin is how long answers wait for the journal. The race detector makes
// SQLite and the stand-ins several times as slow, and a kill that is only in memory
// is answered all the same, is reported, and does not survive a crash.
const answerWithin = 2 * time.Second
