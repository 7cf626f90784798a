package api_test

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"go/ast"
	"go/build"
	"go/doc"
	"go/format"
	"go/parser"
	"go/printer"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata anew")

const (
	module = "github.com/sentryflags/sentryflags-go"
	root   = "../.."
	golden = "testdata"
)

// TestExported compares what each package exports, nested modules included, with the text in testdata.
func TestExported(t *testing.T) {
	got := exported(t)
	if *update {
		write(t, got)
	}
	want := read(t)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if diff := gocmp.Diff(strings.Split(want[name], "\n"), strings.Split(got[name], "\n")); diff != "" {
			t.Errorf("%s exports something else now. If it is meant: go test ./internal/api -update\n(-testdata +package):\n%s", name, diff)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s exports nothing any more. If it is meant: go test ./internal/api -update", name)
	}
}

// exported returns what the packages of the checkout export, by folder.
func exported(t *testing.T) map[string]string {
	result := map[string]string{}
	err := filepath.WalkDir(root, func(folder string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		name := entry.Name()
		if folder != root && strings.HasPrefix(name, ".") || name == "internal" || name == "testdata" {
			return fs.SkipDir
		}
		text, err := surface(folder)
		if err == nil && text != "" {
			result[filepath.ToSlash(strings.TrimPrefix(folder, root+string(filepath.Separator)))] = text
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(result) == 0 {
		t.Fatal("found no package")
	}
	return result
}

// surface returns the exported declarations of a folder's package, without comments; "" for a command, a package of
// tests alone and a folder without a package.
func surface(folder string) (string, error) {
	p, err := build.ImportDir(folder, 0)
	if none := (*build.NoGoError)(nil); errors.As(err, &none) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if p.IsCommand() {
		return "", nil
	}
	files := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		file, err := parser.ParseFile(files, filepath.Join(folder, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		parsed = append(parsed, file)
	}
	d, err := doc.NewFromFiles(files, parsed, path.Join(module, filepath.ToSlash(folder)))
	if err != nil {
		return "", err
	}
	return text(files, d)
}

// text writes constants, variables, functions and types, each type with what belongs to it.
func text(files *token.FileSet, d *doc.Package) (string, error) {
	w := writer{files: files}
	w.values(d.Consts, d.Vars)
	w.funcs(d.Funcs)
	for _, t := range d.Types {
		w.decl(t.Decl)
		w.values(t.Consts, t.Vars)
		w.funcs(t.Funcs, t.Methods)
	}
	if w.err != nil || w.Len() == 0 {
		return "", w.err
	}
	source, err := format.Source(append([]byte("package "+d.Name+"\n"), w.Bytes()...))
	return columns.ReplaceAllString(string(source), " "), err
}

// columns are what gofmt aligns: a longer name would change every line beside it.
var columns = regexp.MustCompile(` {2,}`)

type writer struct {
	bytes.Buffer
	files *token.FileSet
	err   error // the first one
}

func (w *writer) values(lists ...[]*doc.Value) {
	for _, v := range slices.Concat(lists...) {
		for _, spec := range v.Decl.Specs {
			hideText(spec.(*ast.ValueSpec))
		}
		w.decl(v.Decl)
	}
}

// hideText leaves of the variables that are made by errors.New their type: what they say is not the interface.
func hideText(spec *ast.ValueSpec) {
	for _, value := range spec.Values {
		call, isCall := value.(*ast.CallExpr)
		if !isCall || types.ExprString(call.Fun) != "errors.New" {
			return
		}
	}
	if len(spec.Values) > 0 {
		spec.Type, spec.Values = ast.NewIdent("error"), nil
	}
}

func (w *writer) funcs(lists ...[]*doc.Func) {
	for _, f := range slices.Concat(lists...) {
		f.Decl.Body = nil
		w.decl(f.Decl)
	}
}

// decl writes a declaration without the empty lines that its comments leave.
func (w *writer) decl(node ast.Decl) {
	var b bytes.Buffer
	w.err = cmp.Or(w.err, printer.Fprint(&b, w.files, node))
	if _, isFunc := node.(*ast.FuncDecl); !isFunc {
		w.WriteByte('\n')
	}
	for line := range strings.Lines(b.String()) {
		if strings.TrimSpace(line) != "" {
			w.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
}

func read(t *testing.T) map[string]string {
	texts := map[string]string{}
	err := fs.WalkDir(os.DirFS(golden), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(golden, filepath.FromSlash(name)))
		texts[strings.TrimSuffix(name, ".txt")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func write(t *testing.T, texts map[string]string) {
	if err := os.RemoveAll(golden); err != nil {
		t.Fatal(err)
	}
	for name, text := range texts {
		file := filepath.Join(golden, filepath.FromSlash(name)+".txt")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
