package console_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// hostile are 300 names that try to be more than a name: each attack in each
// wrapping.
func hostile() []string {
	attacks := []string{
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<svg/onload=alert(1)>`, `<a href="javascript:alert(1)">x</a>`, `<iframe src=//evil.example>`,
		`<form action=//evil.example><button>`, `<meta http-equiv=refresh content=0;//evil.example>`, `<base href=//evil.example/>`, `<style>*{display:none}</style>`, `<input autofocus onfocus=alert(1)>`,
		`javascript:alert(1)`, `onmouseover=alert(1) x=`, `{{.Password}}{{template "page"}}`, `</textarea><h1>x`, `</title><h1>x`, `<!--`, `]]><h1>x`, `&lt;script&gt;`, `&#x3c;script&#x3e;`, `%3Cscript%3E`,
		"\u202escript\u202c", "\u2028alert(1)//", "\u0007\u001b[31m", "null\ufffe", `\u003cscript\u003e`, `expression(alert(1))`, `url(//evil.example)`, "`${alert(1)}`", `?did=replayed&id=`, `#"><h1>`,
	}
	wraps := []string{"%s", `"%s`, `'%s`, `">%s`, `'>%s`, "</p>%s", "</script>%s", "</style>%s", "a %s b", "%s\n%s"}
	var names []string
	for _, wrap := range wraps {
		for _, attack := range attacks {
			names = append(names, strings.ReplaceAll(wrap, "%s", attack))
		}
	}
	return names
}

// TestHostileNames puts 300 hostile names into every field of every page, and
// looks whether a page has an element, an attribute or an address that is not the
// template's.
func TestHostileNames(t *testing.T) {
	names := hostile()
	if len(names) != 300 {
		t.Fatalf("%d names", len(names))
	}
	tame := newKit(t, nil)
	unescaped, pages := 0, 0
	check := func(name, page string, w *httptest.ResponseRecorder) {
		pages++
		if w.Code == http.StatusUnauthorized || w.Code == http.StatusTooManyRequests {
			t.Fatalf("%s of %q: status %d", page, name, w.Code)
		}
		for _, fault := range faultsOf(w) {
			unescaped++
			t.Errorf("%s of %q: %s", page, name, fault)
		}
	}
	check("a tame page", "/", tame.get("/"))
	for _, name := range names {
		sources := []console.Source{{Name: name, Problem: name, LastGood: time.Now()}, {Name: name, Received: true, Problem: name}}
		var decisions console.Decisions
		decisions.Add(name, name)
		k := newKit(t, func(c *console.Config) {
			c.Title, c.Decisions, c.Sources = name, &decisions, func() []console.Source { return sources }
		})
		k.switches.off = []console.SwitchedOff{{Target: name, Flag: name, Alert: name}, {Target: "broken", Was: console.WasOn}}
		k.switches.pending = []console.PendingSwitch{
			{ID: name, Target: name, Alert: name, Failed: true, Reason: name}, {ID: "by", Target: name, By: name}, {ID: "broken", Target: name, Failed: true},
		}
		k.switches.fails = nil
		id := strings.ReplaceAll(name, "\x00", "")
		dead := k.settle(item(id, name, name), name)
		alien := k.settle(queue.Item{ID: "alien", Key: name, Body: []byte(name)}, name)
		k.settle(item("done", name, name), "")
		k.settle(queue.Item{ID: "done alien", Key: name, Body: []byte(name)}, "")

		q := url.QueryEscape
		get := func(path string) {
			r := k.request(http.MethodGet, path, nil)
			r.SetBasicAuth(strings.ReplaceAll(name, ":", ";"), password) // a colon ends a user name
			check(name, path, k.send(r))
		}
		get("/")
		get("/?flag=" + q(name))
		get("/?did=" + q(name) + "&letters=" + q(name) + "&log=" + q(name))
		for _, e := range []queue.Entry{dead, alien} {
			for _, do := range []string{"correct", "replay", "discard", name} {
				get("/letter?" + letterForm(do, e).Encode())
			}
		}
		get("/letter?do=replay&id=" + q(name) + "&seq=" + q(name))
		get("/letters?do=replay")
		get("/letters?do=" + q(name) + "&cause=" + q(name) + "&newest=" + q(name))
		check(name, "an unconfirmed act on many", k.post("/letters", url.Values{"do": {"replay"}, "newest": {name}}))
		get("/flag?target=" + q(name))
		get("/flag?target=none" + q(name))
		get("/switch?" + url.Values{"do": {"retry"}, "id": {name}}.Encode())
		get("/switch?" + url.Values{"do": {"giveup"}, "id": {"by"}}.Encode())
		check(name, "a failing retry", k.post("/switch", url.Values{"do": {"retry"}, "id": {"broken"}, "confirm": {"yes"}}))
		check(name, "a review", k.post("/letter", correction(dead, name, "author", name, "confirm", "")))
		check(name, "a refused correction", k.post("/letter", correction(dead, strings.Repeat(name, 300), "author", name, "author_type", name, "action", name, "created_at", name)))
		check(name, "a failing restoration", k.post("/flag", url.Values{"target": {"broken"}, "confirm": {"yes"}}))
		k.switches.fails = errors.New(name)
		get("/")
		get("/flag?target=t")
		k.store.Close()
		get("/")
	}
	t.Logf("console: hostile names=%d pages=%d unescaped=%d", len(names), pages, unescaped)
}

// TestFaultsAreFound lets the check look at pages that are at fault.
func TestFaultsAreFound(t *testing.T) {
	good := newKit(t, nil).get("/").Body.String()
	for _, name := range []string{
		`<script>alert(1)</script>`, `<img src=x>`, `<p onclick=alert(1)>x</p>`, `<p style="x">x</p>`, `<a href="javascript:alert(1)">x</a>`, `<form action="//evil.example"></form>`, "\u202e", "\x07", "<!-- x -->", "\xff",
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.WriteString(strings.Replace(good, "Dead letters", name, 1))
		if len(faultsOf(w)) == 0 {
			t.Errorf("%q is not found", name)
		}
	}
}

var edited = regexp.MustCompile(`(?s) value="[^"]*"|<textarea.*?</textarea>`)

// elements are those of the templates, with the attributes that they may have.
var elements = map[string]string{
	"html": "lang", "head": "", "meta": "charset name content", "title": "", "style": "", "body": "", "a": "class href", "header": "class", "div": "class aria-hidden",
	"h1": "", "h2": "id", "p": "class role id hidden", "bdi": "", "span": "class", "b": "", "button": "type id aria-pressed hidden class", "main": "id tabindex data-refresh",
	"section": "class aria-labelledby", "dl": "class", "dt": "", "dd": "", "figure": "", "figcaption": "", "svg": "class viewBox preserveAspectRatio role aria-label",
	"line": "class x1 x2 y1 y2", "rect": "x y width height", "ul": "class", "ol": "class", "li": "", "time": "datetime", "form": "class method action role",
	"label": "for", "input": "id name type value autocomplete autocapitalize spellcheck required aria-invalid aria-describedby", "table": "", "thead": "", "tbody": "", "tr": "",
	"th": "scope class", "td": "class", "textarea": "id name rows autocapitalize spellcheck aria-invalid aria-describedby", "select": "id name", "option": "selected", "del": "", "script": "",
}

// faultsOf says what in a page is not the template's.
func faultsOf(w *httptest.ResponseRecorder) (faults []string) {
	body := w.Body.String()
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") && w.Header().Get("X-Content-Type-Options") == "nosniff" {
			return nil
		}
		return []string{"it is of the type " + w.Header().Get("Content-Type")}
	}
	if !utf8.ValidString(body) {
		faults = append(faults, "it is not valid UTF-8")
	}
	// Only what is to be edited has characters that do not show.
	unseen := func(r rune) bool { return r == 0x202e || r == 0x2028 || r < ' ' && r != '\n' }
	if strings.ContainsFunc(body, unseen) && strings.ContainsFunc(edited.ReplaceAllString(body, ""), unseen) {
		faults = append(faults, "it has a character that does not show")
	}
	// What is between the tags of script and style is ours, and no XML.
	for _, tag := range []string{"script", "style"} {
		if n := strings.Count(body, "<"+tag); n != 1 {
			faults = append(faults, fmt.Sprintf("it has %d elements %s", n, tag))
		}
		before, rest, _ := strings.Cut(body, "<"+tag+">")
		_, after, _ := strings.Cut(rest, "</"+tag+">")
		body = before + "<" + tag + "></" + tag + ">" + after
	}
	decoder := xml.NewDecoder(strings.NewReader(strings.Map(xmlRune, body)))
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return faults
		}
		if err != nil {
			return append(faults, "it cannot be parsed: "+err.Error())
		}
		switch token := token.(type) {
		case xml.StartElement:
			faults = append(faults, faultsOfElement(token)...)
		case xml.Comment:
			faults = append(faults, "it has a comment")
		}
	}
}

// xmlRune replaces what a browser takes and XML does not.
func xmlRune(r rune) rune {
	if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0xfffe || r == 0xffff {
		return '?'
	}
	return r
}

func faultsOfElement(e xml.StartElement) (faults []string) {
	allowed, known := elements[e.Name.Local]
	if !known {
		return []string{"it has an element " + e.Name.Local}
	}
	for _, attribute := range e.Attr {
		name, value := attribute.Name.Local, attribute.Value
		if !slices.Contains(strings.Fields(allowed), name) {
			faults = append(faults, fmt.Sprintf("%s has the attribute %s", e.Name.Local, name))
		}
		if name == "href" || name == "action" {
			if !slices.ContainsFunc([]string{"./", "letter?do=", "flag?target=", "switch?do=", "letters?do=", "#live"}, func(p string) bool { return strings.HasPrefix(value, p) }) && value != "letter" && value != "flag" && value != "switch" && value != "resume" && value != "letters" {
				faults = append(faults, fmt.Sprintf("%s leads to %q", e.Name.Local, value))
			}
		}
	}
	return faults
}
