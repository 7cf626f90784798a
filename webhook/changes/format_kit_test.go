package changes_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// read reads a document that is in order.
func read(t testing.TB, format changes.Format, name, document string) changes.Definitions {
	t.Helper()
	definitions, err := format.Read(name, []byte(document))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return definitions
}

// between lists what changed between two documents, as "action flag: paths".
func between(t testing.TB, format changes.Format, name, before, after string) []string {
	t.Helper()
	edits, err := changes.DiffDefinitions(read(t, format, name, before), read(t, format, name, after))
	if err != nil {
		t.Fatal(err)
	}
	said := []string{}
	for _, edit := range edits {
		line := string(edit.Action) + " " + edit.Flag
		for i, field := range edit.Fields {
			line += []string{", ", ": "}[min(1, 1-min(i, 1))] + field.Path
		}
		said = append(said, line)
	}
	return said
}

// edit is a replacement within a document and what it should be called.
type edit struct {
	old, new string
	want     []string
}

func testEdits(t *testing.T, format changes.Format, name, document string, edits []edit) {
	t.Helper()
	for _, e := range edits {
		if strings.Count(document, e.old) == 0 {
			t.Fatalf("%s: the document has no %s", name, e.old)
		}
		if e.want == nil {
			e.want = []string{}
		}
		got := between(t, format, name, document, strings.Replace(document, e.old, e.new, 1))
		if diff := cmp.Diff(e.want, got); diff != "" {
			t.Errorf("%s: %s -> %s: %s", name, e.old, e.new, diff)
		}
	}
}

// refused checks that a document is refused for a reason.
func refused(t *testing.T, format changes.Format, name, document, reason string) {
	t.Helper()
	definitions, err := format.Read(name, []byte(document))
	if err == nil {
		t.Errorf("%s: taken, with %d flags: %.60q", name, definitions.Len(), document)
		return
	}
	if !strings.Contains(err.Error(), reason) {
		t.Errorf("%s: %v, which does not say %q", name, err, reason)
	}
	if len(err.Error()) > 500 {
		t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
	}
}
