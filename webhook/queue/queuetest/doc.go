// Package queuetest proves that an implementation of [queue.Store] keeps its
// promises: the order, who may settle what, IDs that stay known, leases that end,
// holds, notes that are compared and swapped, what people may list, correct and
// discard, and what holds across reopening and between processes.
//
//	func TestStore(t *testing.T) {
//		queuetest.Run(t, queuetest.Config{
//			Open: func(t testing.TB, options queuetest.Options) queue.Store {
//				…
//			},
//			Close:   func(store queue.Store) error { … },
//			Durable: true,
//			Shared:  true,
//		})
//	}
//
// It does not prove durability against a crash of the machine: no test within
// it can. Count the fsyncs for that.
package queuetest
