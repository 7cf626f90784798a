package readme

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/sentryflags/sentryflags-go"
)

// Nothing in the pages and in the doc comments leads to what is not in the
// repository: links, headings, paths, and names in brackets.
func TestLinks(t *testing.T) {
	if _, err := os.Stat(root + "/README.md"); os.IsNotExist(err) {
		t.Skip("no README here: this is not the whole checkout")
	}
	checked := 0
	for _, page := range files(t, ".md") {
		for _, link := range pageLinks(read(t, page)) {
			checked++
			if !leadsSomewhere(t, page, link) {
				t.Errorf("%s: %s leads nowhere", page, link)
			}
		}
		for _, p := range paths(read(t, page)) {
			checked++
			if !exists(p) {
				t.Errorf("%s: there is no %s", page, p)
			}
		}
	}
	checked += checkComments(t)
	if checked < 100 {
		t.Errorf("only %d links were found: the test looks at the wrong places", checked)
	}
}

var pageLink = regexp.MustCompile(`\]\(([^()\s]+)\)`)

// pageLinks returns the links of a page, but for those in blocks of code.
func pageLinks(page string) []string {
	var found []string
	for i, part := range strings.Split(page, "```") {
		if i%2 == 1 {
			continue
		}
		for _, match := range pageLink.FindAllStringSubmatch(part, -1) {
			found = append(found, match[1])
		}
	}
	return found
}

// leadsSomewhere is true of addresses elsewhere, which are not asked.
func leadsSomewhere(t *testing.T, page, link string) bool {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "" {
		return err == nil
	}
	target := page
	if u.Path != "" {
		target = path.Join(path.Dir(page), u.Path)
	}
	if u.Fragment == "" || !exists(target) {
		return exists(target)
	}
	return strings.HasSuffix(target, ".md") && anchors(read(t, target))[u.Fragment]
}

var heading = regexp.MustCompile("(?m)^#+ +(.*)$")

// anchors returns what the headings of a page are called in links.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for i, part := range strings.Split(page, "```") {
		if i%2 == 1 {
			continue
		}
		for _, match := range heading.FindAllStringSubmatch(part, -1) {
			name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(match[1]), "")
			found[strings.ReplaceAll(strings.TrimSpace(name), " ", "-")] = true
		}
	}
	return found
}

var inRepository = regexp.MustCompile(`(?:^|[\s"'(\x60]|\./)((?:examples|flagtrack|internal|signing|testdata|vwo|webhook)/[\w./-]*\w)(/\.\.\.)?`)

// paths returns what looks like a path from the root of the repository. A name
// in a package, as in webhook/changes.Diff, stands for the package.
func paths(text string) []string {
	var found []string
	for _, match := range inRepository.FindAllStringSubmatch(text, -1) {
		folder, name := path.Split(match[1])
		if strings.HasPrefix(name, "v0.") {
			continue // a tag
		}
		if before, after, ok := strings.Cut(name, "."); ok && after != "" && ast.IsExported(after) {
			name = before
		}
		found = append(found, path.Join(folder, name))
	}
	return found
}

func exists(p string) bool {
	_, err := os.Stat(filepath.Join(root, filepath.FromSlash(p)))
	return err == nil
}

// checkComments looks at every comment outside of tests, and returns how many
// links there were.
func checkComments(t *testing.T) int {
	t.Helper()
	sources := map[string][]*ast.File{} // by import path
	positions := token.NewFileSet()
	for _, file := range files(t, ".go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(positions, filepath.Join(root, file), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		importPath := path.Join(module, path.Dir(file))
		sources[importPath] = append(sources[importPath], parsed)
	}
	names := map[string]map[string]bool{}
	for importPath, parsed := range sources {
		names[importPath] = declared(parsed)
	}
	checked := 0
	for importPath, parsed := range sources {
		for _, file := range parsed {
			for _, group := range file.Comments {
				links, dead := commentLinks(group.Text(), importPath, imports(parsed), names)
				checked += links
				for _, link := range dead {
					t.Errorf("%s: %s leads nowhere", positions.Position(group.Pos()), link)
				}
			}
		}
	}
	return checked
}

var majorVersion = regexp.MustCompile(`/v[0-9]+$`)

// imports returns the import paths of a package's files by the name that the
// package has in them.
func imports(parsed []*ast.File) map[string]string {
	found := map[string]string{}
	for _, file := range parsed {
		for _, spec := range file.Imports {
			importPath := strings.Trim(spec.Path.Value, `"`)
			name, _, _ := strings.Cut(path.Base(majorVersion.ReplaceAllString(importPath, "")), "-") // sentry-go is called sentry
			if spec.Name != nil {
				name = spec.Name.Name
			}
			found[name] = importPath
		}
	}
	return found
}

// declared returns the names of a package that a link can lead to: those at the
// top, and fields and methods as Type.Name.
func declared(parsed []*ast.File) map[string]bool {
	found := map[string]bool{}
	for _, file := range parsed {
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					found[d.Name.Name] = true
				} else {
					found[receiver(d.Recv.List[0].Type)+"."+d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					declare(found, spec)
				}
			}
		}
	}
	return found
}

func declare(found map[string]bool, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			found[name.Name] = true
		}
	case *ast.TypeSpec:
		found[s.Name.Name] = true
		var members *ast.FieldList
		switch kind := s.Type.(type) {
		case *ast.StructType:
			members = kind.Fields
		case *ast.InterfaceType:
			members = kind.Methods
		default:
			return
		}
		for _, member := range members.List {
			for _, name := range member.Names {
				found[s.Name.Name+"."+name.Name] = true
			}
			if len(member.Names) == 0 { // embedded: what it promotes is looked for where it is declared
				found[s.Name.Name+"."] = true
			}
		}
	}
}

func receiver(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

var bracketed = regexp.MustCompile(`\[\*?(?:[a-z]\w*\.)?[A-Z]\w*[a-z]\w*(?:\.[A-Z]\w*)?\]`)

// commentLinks returns how many links a comment has, and those that are dead: a
// name that its package does not have, brackets that are no link, a path to what
// is not there.
func commentLinks(text, importPath string, imported map[string]string, names map[string]map[string]bool) (links int, dead []string) {
	has := func(in, recv, name string) bool {
		of := names[in]
		return recv == "" && of[name] || of[recv+"."+name] || recv != "" && of[recv+"."]
	}
	p := comment.Parser{
		LookupPackage: func(name string) (string, bool) {
			to, ok := imported[name]
			return to, ok
		},
		LookupSym: func(recv, name string) bool { return has(importPath, recv, name) },
	}
	see := func(parts []comment.Text) {
		for _, part := range parts {
			switch c := part.(type) {
			case comment.Plain:
				for _, name := range bracketed.FindAllString(string(c), -1) {
					recv, name, ok := strings.Cut(strings.Trim(name, "[*]"), ".")
					if !ok {
						recv, name = "", recv
					}
					if !has(importPath, recv, name) { // nor one of an unexported type
						dead = append(dead, "["+strings.TrimPrefix(recv+"."+name, ".")+"]")
					}
				}
			case *comment.DocLink:
				links++
				if _, ours := names[c.ImportPath]; ours && c.Name != "" && !has(c.ImportPath, c.Recv, c.Name) {
					dead = append(dead, "["+path.Base(c.ImportPath)+"."+strings.TrimPrefix(c.Recv+"."+c.Name, ".")+"]")
				}
			}
		}
	}
	for _, block := range p.Parse(text).Content {
		switch b := block.(type) {
		case *comment.Paragraph:
			see(b.Text)
		case *comment.Heading:
			see(b.Text)
		case *comment.List:
			for _, item := range b.Items {
				for _, inner := range item.Content {
					if paragraph, ok := inner.(*comment.Paragraph); ok {
						see(paragraph.Text)
					}
				}
			}
		}
	}
	for _, named := range paths(text) {
		links++
		if !exists(named) {
			dead = append(dead, named)
		}
	}
	return links, dead
}

// files lists what git has, or would have, with that extension; nobody's caches.
func files(t *testing.T, extension string) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS(root), ".", func(p string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && p != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case !entry.IsDir() && path.Ext(p) == extension:
			found = append(found, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, p string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// The test finds what is dead, in each of the forms.
func TestDeadLinksAreFound(t *testing.T) {
	page := "# A heading, with `code`\n[a](README.md#a-heading-with-code) [b](no-such.md) [c](README.md#no-such)\n```\n[d](in-code.md)\n```\n"
	if got, want := strings.Join(pageLinks(page), " "), "README.md#a-heading-with-code no-such.md README.md#no-such"; got != want {
		t.Errorf("links of the page: %s, want %s", got, want)
	}
	if !anchors(page)["a-heading-with-code"] {
		t.Errorf("the heading is called %v", anchors(page))
	}
	for link, want := range map[string]bool{
		"README.md": true, "no-such.md": false, "README.md#no-such": false, "https://example.com/x": true, "examples": true,
	} {
		if leadsSomewhere(t, "README.md", link) != want {
			t.Errorf("%s leads somewhere: %t, want %t", link, !want, want)
		}
	}
	names := map[string]map[string]bool{module + "/a": {"Thing": true, "Thing.Field": true}, module + "/b": {"Other": true}}
	for text, want := range map[string]string{
		"[Thing] and [Thing.Field] and [b.Other]": "",
		"[Nothing] here":                    "[Nothing]",
		"[Thing.Nothing] here":              "[Thing.Nothing]",
		"[b.Nothing] there":                 "[b.Nothing]",
		"see webhook/no-such for that":      "webhook/no-such",
		"see webhook/changes.Diff for that": "",
		"go run ./examples/quickstart":      "",
		"go run ./examples/no-such":         "examples/no-such",
	} {
		_, dead := commentLinks(text, module+"/a", map[string]string{"b": module + "/b"}, names)
		if got := strings.Join(dead, " "); got != want {
			t.Errorf("dead in %q: %q, want %q", text, got, want)
		}
	}
}
