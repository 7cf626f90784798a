// Package storetest proves that an implementation of [webhook.Store] keeps its
// promises: order, exclusive turns, each item settled once, dead letters with
// their reason, replay, recognising repeats, and what holds across reopening
// and between processes.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Config{
//			Open: func(t testing.TB, options storetest.Options) webhook.Store {
//				…
//			},
//			Close:   func(store webhook.Store) error { … },
//			Durable: true,
//			Shared:  true,
//		})
//	}
//
// It does not prove durability against a crash of the machine: no test within
// it can. Count the fsyncs for that.
package storetest
