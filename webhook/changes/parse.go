package changes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// Limits of a document, whatever it is written in. Beyond them it is refused
// before it costs anything.
const (
	// DefaultLimit is the most bytes of a source's documents together, unless the
	// source or [Config.Limit] says otherwise.
	DefaultLimit = 16 << 20
	// maxDepth is how deep objects and arrays may be nested.
	maxDepth = 1000
	// maxValues is how many values a JSON document may have, and how many
	// characters a YAML or TOML one may have that can begin one.
	maxValues = 4_000_000
	// maxTOML is the most bytes in TOML, whose parser keeps the whole path of
	// each key, and maxTOMLPath the most dots in one line.
	maxTOML     = 4 << 20
	maxTOMLPath = 16
)

// syntax is what a document is written in.
type syntax int

const (
	inJSON syntax = iota
	inYAML
	inTOML
)

// syntaxOf goes by a name's extension, as the evaluators do, and otherwise by
// the first character: YAML, whose flow style may look like JSON, is only read
// as such where the name says so.
func syntaxOf(name string, content []byte) syntax {
	switch strings.ToLower(path.Ext(name)) {
	case ".json":
		return inJSON
	case ".yaml", ".yml":
		return inYAML
	case ".toml":
		return inTOML
	}
	if first := bytes.TrimLeft(content, "\xef\xbb\xbf \t\r\n"); len(first) > 0 && (first[0] == '{' || first[0] == '[') {
		return inJSON
	}
	return inYAML
}

// parse reads a document into a value.
func parse(name string, content []byte) (value, error) {
	switch syntaxOf(name, content) {
	case inYAML:
		return parseYAML(content)
	case inTOML:
		return parseTOML(content)
	}
	return parseJSON(content)
}

// errWebPage means that what came is for a browser: a proxy's log-in, or its
// apology.
var errWebPage = errors.New("it is a web page; check the address and the credential")

func isWebPage(content []byte) bool {
	begin := bytes.TrimLeft(content, "\xef\xbb\xbf \t\r\n")
	begin = bytes.ToLower(begin[:min(len(begin), len("<!doctype"))])
	return bytes.HasPrefix(begin, []byte("<!doctype")) || bytes.HasPrefix(begin, []byte("<html")) || bytes.HasPrefix(begin, []byte("<?xml"))
}

// errBOM means that JSON begins with a byte order mark, which no evaluator's
// parser takes.
var errBOM = errors.New("it begins with a byte order mark, which JSON must not; save it without")

func parseJSON(content []byte) (value, error) {
	if bytes.HasPrefix(content, []byte("\xef\xbb\xbf")) {
		return value{}, errBOM
	}
	p := newJSONParser(content)
	v, err := p.value(0)
	if err == nil {
		_, err = p.decoder.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return v, nil
		case err == nil:
			err = errors.New("something follows its end")
		}
	}
	if errors.Is(err, errTwice) { // a decoder that looks for it knows where
		_, err = jsontext.NewDecoder(bytes.NewReader(content)).ReadValue()
	}
	return value{}, jsonFault(content, err)
}

var errTwice = errors.New("it gives a name twice")

// jsonParser makes values of JSON. All texts without escapes are parts of one
// copy of the document, and what objects and arrays hold is cut from large
// pieces: a document has some 100 values per flag.
type jsonParser struct {
	decoder *jsontext.Decoder
	text    string
	values  int

	// What the objects and arrays that are being read have so far.
	openNames  []string
	openValues []value

	freeNames      []string
	freeValues     []value
	freeComposites []composite
}

func newJSONParser(content []byte) *jsonParser {
	// Names that occur twice are found when they are sorted.
	decoder := jsontext.NewDecoder(bytes.NewBuffer(content), jsontext.AllowDuplicateNames(true))
	return &jsonParser{decoder: decoder, text: string(content)}
}

func (p *jsonParser) value(depth int) (value, error) {
	if p.values++; p.values > maxValues {
		return value{}, fmt.Errorf("it has more than %d values", maxValues)
	}
	switch p.decoder.PeekKind() {
	case '{':
		return p.object(depth + 1)
	case '[':
		return p.array(depth + 1)
	}
	raw, err := p.decoder.ReadValue()
	if err != nil {
		return value{}, err
	}
	switch raw.Kind() {
	case '"':
		s, err := p.unquoted(raw)
		return textOf(s), err
	case 't', 'f':
		return boolOf(raw.Kind() == 't'), nil
	case 'n':
		return value{kind: null}, nil
	}
	return numberIn(p.textOf(raw))
}

func (p *jsonParser) object(depth int) (value, error) {
	if depth > maxDepth {
		return value{}, errDeep
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return value{}, err
	}
	firstName, firstValue := len(p.openNames), len(p.openValues)
	for p.decoder.PeekKind() != '}' {
		raw, err := p.decoder.ReadValue()
		if err != nil {
			return value{}, err
		}
		name, err := p.unquoted(raw)
		if err != nil {
			return value{}, err
		}
		member, err := p.value(depth)
		if err != nil {
			return value{}, err
		}
		p.openNames, p.openValues = append(p.openNames, name), append(p.openValues, member)
	}
	_, err := p.decoder.ReadToken()
	of := p.composite()
	of.names = cutFrom(&p.freeNames, p.openNames[firstName:])
	of.values = cutFrom(&p.freeValues, p.openValues[firstValue:])
	p.openNames, p.openValues = p.openNames[:firstName], p.openValues[:firstValue]
	sortMembers(of)
	if of.twice() > 0 {
		return value{}, errTwice
	}
	return value{kind: object, of: of}, err
}

func (p *jsonParser) array(depth int) (value, error) {
	if depth > maxDepth {
		return value{}, errDeep
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return value{}, err
	}
	first := len(p.openValues)
	for p.decoder.PeekKind() != ']' {
		item, err := p.value(depth)
		if err != nil {
			return value{}, err
		}
		p.openValues = append(p.openValues, item)
	}
	_, err := p.decoder.ReadToken()
	of := p.composite()
	of.values = cutFrom(&p.freeValues, p.openValues[first:])
	p.openValues = p.openValues[:first]
	return value{kind: array, of: of}, err
}

// pieceSize is how many are made at once.
const pieceSize = 512

func (p *jsonParser) composite() *composite {
	if len(p.freeComposites) == 0 {
		p.freeComposites = make([]composite, pieceSize)
	}
	of := &p.freeComposites[0]
	p.freeComposites = p.freeComposites[1:]
	return of
}

// cutFrom returns a copy of list, cut from a large piece.
func cutFrom[T any](piece *[]T, list []T) []T {
	n := len(list)
	if n > pieceSize/4 {
		return slices.Clone(list)
	}
	if n > len(*piece) {
		*piece = make([]T, pieceSize)
	}
	part := (*piece)[:n:n]
	*piece = (*piece)[n:]
	copy(part, list)
	return part
}

// textOf returns what was just read, as a part of the document's text.
func (p *jsonParser) textOf(raw jsontext.Value) string {
	end := int(p.decoder.InputOffset())
	return p.text[end-len(raw) : end]
}

// unquoted returns what a JSON string says that was just read.
func (p *jsonParser) unquoted(raw jsontext.Value) (string, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		text := p.textOf(raw)
		return text[1 : len(text)-1], nil
	}
	unescaped, err := jsontext.AppendUnquote(nil, []byte(raw))
	return string(unescaped), err
}

var errDeep = fmt.Errorf("it is nested more than %d deep", maxDepth)

// jsonFault says where the fault is, in lines, and shows nothing but names.
func jsonFault(content []byte, err error) error {
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return err
	}
	line := 1 + bytes.Count(content[:min(max(int(syntactic.ByteOffset), 0), len(content))], []byte("\n"))
	what := "is not JSON"
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		what = fmt.Sprintf("gives %q twice", cut(syntactic.JSONPointer.LastToken(), maxShown))
	case errors.Is(err, io.ErrUnexpectedEOF):
		what = "is where it breaks off"
	case strings.Contains(syntactic.Err.Error(), "UTF-8"):
		what = "is not valid UTF-8"
	case strings.Contains(syntactic.Err.Error(), "depth"):
		return errDeep
	}
	return fmt.Errorf("line %d %s", line, what)
}

// maxShown is how much of a foreign name an error shows.
const maxShown = 60

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// yamlInto reads YAML into what into points to.
func yamlInto(content []byte, into any) (err error) {
	if err := sized(content, ",:\n[{-", maxValues); err != nil {
		return err
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = errors.New("its YAML cannot be read")
		}
	}()
	return yamlFault(yaml.Unmarshal(content, into))
}

func parseYAML(content []byte) (value, error) {
	// The evaluators' way of decoding, so that tags, merged keys and the limits
	// of aliases mean here what they mean there.
	var document any
	if err := yamlInto(content, &document); err != nil {
		return value{}, err
	}
	return fromAny(document, 0)
}

// parseYAMLs reads all the documents that YAML has one after the other.
func parseYAMLs(content []byte) (all []value, err error) {
	if err := sized(content, ",:\n[{-", maxValues); err != nil {
		return nil, err
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = errors.New("its YAML cannot be read")
		}
	}()
	for decoder := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var document any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, yamlFault(err)
		}
		read, err := fromAny(document, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, read)
	}
}

// sized refuses what has more than limit of the characters that begin a value.
func sized(content []byte, beginnings string, limit int) error {
	n := 0
	for i := range len(beginnings) {
		n += bytes.Count(content, []byte{beginnings[i]})
	}
	if n > limit {
		return fmt.Errorf("it has more than %d values", limit)
	}
	return nil
}

// quotedText matches what YAML's errors quote of a document: values, which may
// be anybody's.
var quotedText = regexp.MustCompile("`[^`]*`")

func yamlFault(err error) error {
	if err == nil {
		return nil
	}
	text := strings.TrimPrefix(quotedText.ReplaceAllString(err.Error(), "of a value"), "yaml: ")
	return errors.New(cut(strings.ReplaceAll(text, "\n", ""), 300))
}

// tomlInto reads TOML into what into points to.
func tomlInto(content []byte, into any) (err error) {
	if len(content) > maxTOML {
		return fmt.Errorf("it has more than %d bytes, which is the most in TOML", maxTOML)
	}
	if err := tomlDepth(content); err != nil {
		return err
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = errors.New("its TOML cannot be read")
		}
	}()
	err = toml.Unmarshal(content, into)
	if fault, ok := errors.AsType[toml.ParseError](err); ok {
		what := "is not TOML"
		if strings.Contains(fault.Message, "already") {
			what = "gives it twice"
		}
		return fmt.Errorf("line %d (after %q) %s", fault.Position.Line, cut(fault.LastKey, maxShown), what)
	}
	if err != nil {
		return errors.New("a value is not of the type that belongs there")
	}
	return nil
}

func parseTOML(content []byte) (value, error) {
	var document map[string]any
	if err := tomlInto(content, &document); err != nil {
		return value{}, err
	}
	return fromAny(document, 0)
}

// tomlDepth looks for nesting that its parser, which has no limit, would follow
// until the stack ends, and for paths that it would keep whole for each key.
func tomlDepth(content []byte) error {
	depth, dots := 0, 0
	for i := 0; i < len(content); i++ {
		switch content[i] {
		case '\n':
			dots = 0
		case '.':
			dots++
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case '#':
			for i+1 < len(content) && content[i+1] != '\n' {
				i++
			}
		case '"', '\'':
			i = tomlString(content, i)
		}
		if depth > maxDepth {
			return errDeep
		}
		if dots > maxTOMLPath {
			return fmt.Errorf("line %d has more than %d dots", 1+bytes.Count(content[:i], []byte("\n")), maxTOMLPath)
		}
	}
	return nil
}

// tomlString returns where the string that begins at i ends.
func tomlString(content []byte, i int) int {
	quote, long := content[i], content[i:min(i+3, len(content))]
	if len(long) == 3 && long[1] == quote && long[2] == quote {
		for i += 3; i < len(content); i++ {
			switch {
			case content[i] == '\\' && quote == '"':
				i++
			case bytes.HasPrefix(content[i:], long):
				return i + 2
			}
		}
		return i
	}
	for i++; i < len(content) && content[i] != '\n'; i++ {
		switch content[i] {
		case '\\':
			if quote == '"' {
				i++
			}
		case quote:
			return i
		}
	}
	return i
}

// fromAny takes what the parsers of YAML and TOML, or a caller, make of a
// document. Names that are no text are taken as flagd takes them.
func fromAny(v any, depth int) (value, error) { return converter{}.value(v, depth) }

// converter makes values of Go's.
type converter struct {
	// goTypes keeps integers and floats apart, by the types that the parser made
	// of them.
	goTypes bool
}

func (c converter) value(v any, depth int) (value, error) {
	if depth > maxDepth {
		return value{}, errDeep
	}
	switch v := v.(type) {
	case nil:
		return value{kind: null}, nil
	case bool:
		return boolOf(v), nil
	case string:
		return textOf(v), nil
	case int, int64, uint64:
		if c.goTypes {
			return value{kind: typed, text: fmt.Sprintf("%v (%T)", v, v)}, nil
		}
		return numberIn(fmt.Sprint(v))
	case float64:
		return numberOf(v)
	case time.Time:
		return textOf(v.Format(time.RFC3339Nano)), nil
	case []any:
		return fromList(c, v, depth)
	case []map[string]any:
		return fromList(c, v, depth)
	case map[string]any:
		return fromMap(c, v, depth)
	case map[any]any:
		return fromMap(c, v, depth)
	}
	return value{}, fmt.Errorf("a value of the type %T", v)
}

func fromList[T any](c converter, list []T, depth int) (value, error) {
	items := make([]value, len(list))
	for i, item := range list {
		var err error
		if items[i], err = c.value(item, depth+1); err != nil {
			return value{}, err
		}
	}
	return arrayOf(items), nil
}

func fromMap[K comparable](c converter, v map[K]any, depth int) (value, error) {
	m := members{make([]string, 0, len(v)), make([]value, 0, len(v))}
	for name, member := range v {
		taken, err := c.value(member, depth+1)
		if err != nil {
			return value{}, err
		}
		text, ok := any(name).(string)
		if !ok {
			text = fmt.Sprint(name)
		}
		m.put(text, taken)
	}
	made, twice, ok := objectOf(m.names, m.values)
	if !ok {
		return value{}, fmt.Errorf("it gives %q twice", cut(twice, maxShown))
	}
	return made, nil
}
