package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// reporter prints what happened for somebody who has never seen it.
type reporter struct {
	out io.Writer
}

// opening prints what there is.
func (r reporter) opening(flags definitions, server string) {
	boolean := len(flags.booleans(visitors[0]))
	carried := fmt.Sprintf("of which there are %d", boolean)
	if boolean > maxFlags {
		carried = fmt.Sprintf("the newest %d of %d", maxFlags, boolean)
	}
	fmt.Fprintf(r.out, "A shop with %d flags, and %s.\n", len(flags), server)
	fmt.Fprintf(r.out, "Errors carry the boolean flags, %s: Sentry shows no others.\n", carried)
	for _, name := range flags.names() {
		if _, err := target(flags[name].Targeting, visitors[0].attributes()); err != nil {
			fmt.Fprintf(r.out, "Everybody gets the default variant of %s: in its targeting, %v.\n", shorten(name), err)
		}
	}
}

func (r reporter) title(format string, args ...any) {
	fmt.Fprintf(r.out, "\n"+format+"\n", args...)
}

// visit prints one request to the shop.
func (r reporter) visit(v visit) {
	fmt.Fprintf(r.out, "  %-6s %-4s %-10s %d", v.visitor.name, v.method, v.path, v.status)
	if v.errorID != "" {
		fmt.Fprintf(r.out, "  error %s", shortID(v.errorID))
	}
	fmt.Fprintln(r.out)
}

// failure prints an error as Sentry has it, with the table of its flags. The
// flag that the bug hides behind is marked.
func (r reporter) failure(e event, suspect string) {
	fmt.Fprintf(r.out, "\n  error %s  %s  (user %s)\n", shortID(e.ID), shorten(e.message()), shorten(e.User.Username))
	flags := e.Contexts.Flags.Values
	if len(flags) == 0 {
		fmt.Fprintln(r.out, "    no flags")
		return
	}
	r.table(flags, suspect)
}

// rowsPerTable is how many flags stand below each other before a table gets
// another column of flags.
const rowsPerTable = 35

func (r reporter) table(flags []recordedFlag, suspect string) {
	columns := (len(flags) + rowsPerTable - 1) / rowsPerTable
	rows := (len(flags) + columns - 1) / columns
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "    "+strings.TrimSuffix(strings.Repeat("FLAG\tRESULT\t", columns), "\t"))
	for row := range rows {
		var cells []string
		for i := row; i < len(flags); i += rows {
			mark := ""
			if flags[i].Flag == suspect {
				mark = " <-- the bug is behind this one"
			}
			cells = append(cells, shorten(flags[i].Flag), shorten(fmt.Sprint(flags[i].Result))+mark)
		}
		fmt.Fprintln(table, "    "+strings.Join(cells, "\t"))
	}
	_ = table.Flush() // a terminal that takes no more text has nobody left to tell
}

// accepted prints an edit that Sentry has stored.
func (r reporter) accepted(e edit) {
	fmt.Fprintf(r.out, "  accepted  %s  %-16s  %s\n", e.action, shorten(e.flag), e.note)
}

// rejected prints an edit that Sentry has refused, and why.
func (r reporter) rejected(e edit, reason string) {
	fmt.Fprintf(r.out, "  rejected  %s  %-16s  %s\n            Sentry's reason: %s\n", e.action, shorten(e.flag), e.note, sanitize(reason))
}

// maxShown is how long a piece of foreign text may be on the terminal.
const maxShown = 60

// shorten makes foreign text fit for a table on the terminal: the beginning
// only if it is long.
func shorten(s string) string {
	s = sanitize(s)
	if length := utf8.RuneCountInString(s); length > maxShown {
		return fmt.Sprintf("%s… (%d characters)", string([]rune(s)[:maxShown/3]), length)
	}
	return s
}

// sanitize leaves nothing in foreign text that could steer a terminal.
func sanitize(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, s)
}

// shortID is enough of an event's id to tell it from the others.
func shortID(id string) string {
	return shorten(id[:min(8, len(id))])
}
