package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// runDiff shows what changed between two files or folders. Its exit status is
// that of diff(1): 0 without a change, 1 with one, 2 on trouble.
func runDiff(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("flagwatch diff", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: flagwatch diff [-format name] [-json] old new")
		flags.PrintDefaults()
	}
	format := flags.String("format", "flagd", "the `name` of the format: "+formatNames())
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return exitTrouble
	}
	switch {
	case flags.NArg() != 2:
		fmt.Fprintln(stderr, "flagwatch: diff: give two documents, after the flags")
	case formats[*format] == nil:
		fmt.Fprintf(stderr, "flagwatch: diff: there is no format %q\n", *format)
	}
	if flags.NArg() != 2 || formats[*format] == nil {
		flags.Usage()
		return exitTrouble
	}
	edits, err := diffPaths(ctx, formats[*format], flags.Arg(0), flags.Arg(1))
	if err != nil {
		fmt.Fprintln(stderr, "flagwatch: diff:", err)
		return exitTrouble
	}
	if *asJSON {
		err = printJSON(stdout, edits)
	} else {
		err = printTable(stdout, edits)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "flagwatch: diff:", err)
		return exitTrouble
	case len(edits) > 0:
		return exitChanges
	}
	return exitOK
}

func diffPaths(ctx context.Context, format changes.Format, old, new string) ([]changes.Edit, error) {
	before, err := readPath(ctx, format, old)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", old, err)
	}
	after, err := readPath(ctx, format, new)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", new, err)
	}
	return changes.DiffDefinitions(before, after)
}

func readPath(ctx context.Context, format changes.Format, path string) (changes.Definitions, error) {
	var source changes.Source = &changes.File{Path: path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		source = &changes.Folder{Path: path}
	} else if err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		source = pipe(path)
	}
	return changes.Read(ctx, source, format)
}

// pipe is what a shell gives for <(git show main:flags.json): it is read once, to
// its end.
func pipe(path string) changes.Source {
	return changes.SourceFunc(filepath.Base(path), func(context.Context) (map[string][]byte, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		content, err := io.ReadAll(io.LimitReader(file, changes.DefaultLimit+1))
		if len(content) > changes.DefaultLimit {
			return nil, changes.ErrTooLarge
		}
		return map[string][]byte{"document": content}, err
	})
}

// editJSON is a change as -json prints it.
type editJSON struct {
	Action string      `json:"action"`
	Flag   string      `json:"flag"`
	Fields []fieldJSON `json:"fields,omitempty"`
}

type fieldJSON struct {
	Path string `json:"path"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

func printJSON(out io.Writer, edits []changes.Edit) error {
	list := make([]editJSON, len(edits))
	for i, edit := range edits {
		list[i] = editJSON{Action: string(edit.Action), Flag: edit.Flag}
		for _, field := range edit.Fields {
			list[i].Fields = append(list[i].Fields, fieldJSON(field))
		}
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}

func printTable(out io.Writer, edits []changes.Edit) error {
	if len(edits) == 0 {
		fmt.Fprintln(out, "no change")
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACTION\tFLAG\tWHAT\tOLD\tNEW")
	for _, edit := range edits {
		if len(edit.Fields) == 0 {
			what := ""
			if edit.Action == "updated" {
				what = "what it refers to"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t\t\n", edit.Action, shown(edit.Flag), what)
		}
		for i, field := range edit.Fields {
			action, flag := string(edit.Action), shown(edit.Flag)
			if i > 0 {
				action, flag = "", ""
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", action, flag, shown(field.Path), shown(field.Old), shown(field.New))
		}
	}
	return table.Flush()
}

// maxShown is how long a cell of the table may be.
const maxShown = 60

// shown makes foreign text fit for a terminal.
func shown(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, s)
	if runes := []rune(s); len(runes) > maxShown {
		return string(runes[:maxShown-1]) + "…"
	}
	return s
}
