package sqlstore

import "github.com/sentryflags/sentryflags-go/webhook/queue"

// DueStatement is the statement of Due, for tests of its plan.
func (s *Store) DueStatement() string { return s.engine.sql(dueStatement) }

// ListStatement is the statement of List, with its arguments.
func (s *Store) ListStatement(name string, filter queue.Filter) (string, []any) {
	statement, args := listing(name, filter)
	return s.engine.sql(statement), args
}

// AddStatement is the statement that adds items.
func (s *Store) AddStatement(name string, items []queue.Item) string {
	statement, _ := s.insertion(name, items, queue.Addition{})
	return s.engine.sql(statement)
}

// PutOffStatement is the statement that puts off one entry.
func (s *Store) PutOffStatement() string {
	return s.engine.sql(putOff + "owner = '' WHERE " + oursWaiting)
}
