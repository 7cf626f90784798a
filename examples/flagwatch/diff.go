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

// runDiff shows what changed between two files or folders, or in a git history.
// Its exit status is that of diff(1): 0 without a change, 1 with one, 2 on
// trouble.
func runDiff(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("flagwatch diff", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: flagwatch diff [-format name] [-json] old new\n"+
			"       flagwatch diff -git before..after [-send] [-merged-author] [-format name] [-json] -- path…")
		flags.PrintDefaults()
	}
	format := flags.String("format", "flagd", "the `name` of the format: "+formatNames())
	asJSON := flags.Bool("json", false, "print JSON")
	history := gitDiff{env: env, out: stdout, trouble: stderr}
	flags.StringVar(&history.span, "git", "", "compare each commit from one to another with the one before it: `before..after`")
	flags.BoolVar(&history.send, "send", false, "with -git: report the changes to Sentry, and exit with 0 if all are there")
	flags.BoolVar(&history.mergedAuthor, "merged-author", false, "with -git: what a merge changed is by who wrote it, not by who merged")
	flags.BoolVar(&history.allowHTTP, "allow-http", false, "with -send: permit http for a Sentry in your own network")
	if err := flags.Parse(args); err != nil {
		return exitTrouble
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	ofGit := given["send"] || given["merged-author"] || given["allow-http"]
	wrong := ""
	switch {
	case formats[*format] == nil:
		wrong = fmt.Sprintf("there is no format %q", *format)
	case !given["git"] && ofGit:
		wrong = "-send, -merged-author and -allow-http belong to -git"
	case !given["git"] && flags.NArg() != 2:
		wrong = "give two documents, after the flags"
	case given["git"] && flags.NArg() == 0:
		wrong = "give the files to look at in git, after the flags"
	}
	if wrong != "" {
		fmt.Fprintln(stderr, "flagwatch: diff:", wrong)
		flags.Usage()
		return exitTrouble
	}
	if given["git"] {
		history.format, history.asJSON, history.paths = formats[*format], *asJSON, flags.Args()
		return history.run(ctx)
	}
	edits, err := diffPaths(ctx, formats[*format], flags.Arg(0), flags.Arg(1))
	if err == nil {
		if *asJSON {
			err = printJSON(stdout, listed(edits))
		} else {
			err = printTable(stdout, edits)
		}
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
	return changes.SourceFunc(filepath.Base(path), func(ctx context.Context) (map[string][]byte, error) {
		var content []byte
		var err error
		read := make(chan struct{})
		go func() { // whoever should write may never come
			defer close(read)
			content, err = readPipe(path)
		}()
		select {
		case <-read:
			return map[string][]byte{"document": content}, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
}

func readPipe(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, changes.DefaultLimit+1))
	if len(content) > changes.DefaultLimit {
		return nil, changes.ErrTooLarge
	}
	return content, err
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

func listed(edits []changes.Edit) []editJSON {
	list := make([]editJSON, len(edits))
	for i, edit := range edits {
		list[i] = editJSON{Action: string(edit.Action), Flag: edit.Flag}
		for _, field := range edit.Fields {
			list[i].Fields = append(list[i].Fields, fieldJSON(field))
		}
	}
	return list
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
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
