// Package queue is the durable queue under the emitter of package webhook and
// the kill switch: what a store of items has to promise ([Store]), one in memory
// ([Memory]), and the one loop that works on a queue ([Run]). Package sqlstore
// has a store on SQLite and PostgreSQL; package queuetest proves one of your own.
//
// # Entries
//
// An [Item] is added once, under an ID that the queue remembers, and becomes an
// [Entry] with a Seq: its place. It waits until it is settled: done, dead with a
// reason, or waiting again, later. Done entries stay until they are swept, so
// that people can read what was done; dead ones stay until a person revises or
// discards them. To revise gives an entry a new Seq, so that nothing that is
// still said about the old one counts against it.
//
// # Who works
//
// [Run] takes the lease that is called as the queue, so that of many processes
// one works at a time, in order. A lease is a row with an end by the store's
// clock: whoever dies, freezes or loses the database is replaced after
// [Config.Lease], at once after a clean end. An idle queue has no holder and is
// not written to. After a failure that concerns the whole queue it rests, for all
// processes.
//
// Who works on an item from the moment that it is added, without the loop, holds
// it ([Addition.Owner]), and the loop takes what a dead owner has left.
//
// # What it is not for
//
// It is no general job queue: no priorities, no schedules, one worker per queue.
// Handling is at least once: what was done and could not be settled before a
// crash is done again, at most one batch.
package queue
