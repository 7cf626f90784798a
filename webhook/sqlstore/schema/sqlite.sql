-- The tables of webhook/sqlstore on SQLite, version 2. Run it once, in one
-- transaction.
--
-- Times and lengths are microseconds, times since 1970.

-- state is 0 for waiting, 1 for done, 2 for dead, 3 for discarded. delay is how
-- long before due an entry was put off or held: one that is due more than a
-- second later than now plus its delay is due, for the clock was set back. AUTOINCREMENT, so that no
-- seq is used twice, even when all entries are gone. The indexes go on by seq.
CREATE TABLE sentryflags_entries (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	queue TEXT NOT NULL,
	id TEXT NOT NULL,
	ord_key TEXT NOT NULL,
	body BLOB NOT NULL,
	state INTEGER NOT NULL DEFAULT 0,
	added_at INTEGER NOT NULL,
	since INTEGER NOT NULL,
	due INTEGER NOT NULL,
	delay INTEGER NOT NULL DEFAULT 0,
	owner TEXT NOT NULL DEFAULT '',
	tries INTEGER NOT NULL DEFAULT 0,
	reason TEXT NOT NULL DEFAULT '',
	UNIQUE (id, queue)
);
CREATE INDEX sentryflags_entries_order ON sentryflags_entries (state, queue);
CREATE INDEX sentryflags_entries_key ON sentryflags_entries (ord_key, queue);
CREATE INDEX sentryflags_entries_settled ON sentryflags_entries (since) WHERE state IN (1, 3);

-- length is how long the lease was asked for, rest how long to rest.
CREATE TABLE sentryflags_leases (
	name TEXT PRIMARY KEY,
	owner TEXT NOT NULL,
	ends_at INTEGER NOT NULL,
	length INTEGER NOT NULL,
	rests_until INTEGER NOT NULL DEFAULT 0,
	rest INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE sentryflags_notes (
	queue TEXT NOT NULL,
	name TEXT NOT NULL,
	version INTEGER NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (queue, name)
);

CREATE TABLE sentryflags_schema (version INTEGER NOT NULL);
INSERT INTO sentryflags_schema (version) VALUES (2);
