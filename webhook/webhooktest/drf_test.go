package webhooktest_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// TestJudgesAsDjango holds the stand-in against Django REST framework itself, as
// Sentry runs it: of bodies of the kind that a sender can make, the same verdict,
// the same JSON of errors and the same rows. SENTRYFLAGS_TEST_DRF is a Python
// that has it.
func TestJudgesAsDjango(t *testing.T) {
	python := os.Getenv("SENTRYFLAGS_TEST_DRF")
	if python == "" {
		t.Skip("SENTRYFLAGS_TEST_DRF names no Python with Django REST framework")
	}
	judged, shape := askDjango(t, python)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	sender := bodyMaker{rand.New(rand.NewPCG(seed, 0))}
	verdicts := map[string]int{}
	for range 5000 {
		body := sender.body()
		want := judged(body)
		h := webhooktest.NewHandler(webhooktest.Config{ErrorShape: shape})
		got := ask(t, h, body)
		if before, _, isSyntax := strings.Cut(got.Answer, " - "); isSyntax && before == `{"detail":"JSON parse error` {
			got.Answer = "" // the words differ
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n(-Django +stand-in):\n%s", body, diff)
		}
		switch {
		case got.Status != 200:
			verdicts["no JSON"]++
		case got.Answer != "":
			verdicts["rejected"]++
		default:
			verdicts["stored"]++
		}
	}
	t.Logf("5000 bodies: %v", verdicts)
	for _, verdict := range []string{"no JSON", "rejected", "stored"} {
		if verdicts[verdict] < 100 {
			t.Errorf("only %d are %s", verdicts[verdict], verdict)
		}
	}
}

// judgement is what is made of a body.
type judgement struct {
	Status int
	Answer string
	Rows   [][]string
}

func ask(t *testing.T, h *webhooktest.Handler, body string) judgement {
	r := httptest.NewRequest(http.MethodPost, h.Path(), strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(signing.Header, sign(t, h.Secret(), body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	j := judgement{w.Code, w.Body.String(), [][]string{}}
	for _, row := range h.Records() {
		c := row.Change
		j.Rows = append(j.Rows, []string{
			string(c.Action), row.ChangeID, c.CreatedAt.Format("2006-01-02T15:04:05.000000-07:00"), c.CreatedBy.ID, string(c.CreatedBy.Type), c.Flag,
		})
	}
	return j
}

// askDjango starts testdata/drf.py, which ends with the test, and returns the
// shape of its errors as well.
func askDjango(t *testing.T, python string) (judged func(body string) judgement, shape webhooktest.ErrorShape) {
	command := exec.CommandContext(t.Context(), python, "testdata/drf.py")
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = command.Wait()
	})
	lines := bufio.NewReader(out)
	switch said, err := lines.ReadString('\n'); said {
	case "by index\n":
		shape = webhooktest.ErrorsByIndex
	case "in a list\n":
		shape = webhooktest.ErrorsInList
	default:
		t.Fatalf("testdata/drf.py began with %q: %v", said, err)
	}
	return func(body string) judgement {
		t.Helper()
		if _, err := io.WriteString(in, base64.StdEncoding.EncodeToString([]byte(body))+"\n"); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var j judgement
		if err := json.Unmarshal(line, &j); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return j
	}, shape
}

// bodyMaker makes bodies as a sender could who does not know all the rules.
type bodyMaker struct{ *rand.Rand }

func (m bodyMaker) body() string {
	text := m.payload()
	switch m.IntN(25) {
	case 0: // cut off on the way
		return text[:m.IntN(len(text))]
	case 1: // put together by hand, with a quote too many
		return strings.Replace(text, `"flag":"`, `"flag":""`, 1)
	case 2:
		return text + m.pick("\n", " ", "{}", "x")
	}
	return text
}

func (m bodyMaker) payload() string {
	if m.IntN(60) == 0 {
		return m.any()
	}
	changes := make([]string, m.IntN(4))
	for i := range changes {
		changes[i] = m.change()
	}
	data, meta := "["+strings.Join(changes, ",")+"]", `{"version":1}`
	if m.IntN(20) == 0 {
		data = m.any()
	}
	if m.IntN(20) == 0 {
		meta = m.pick(m.any(), `{}`, `{"version":"1"}`, `{"version":null}`, `{"version":"v1"}`, `{"version":1.5}`, `{"version":true}`)
	}
	return m.object("data", data, "meta", meta)
}

func (m bodyMaker) change() string {
	if m.IntN(60) == 0 {
		return m.any()
	}
	by := m.object("id", m.or(`"jane.doe@example.com"`, m.text), "type", m.or(`"`+m.pick("email", "id", "name")+`"`, func() string {
		return m.pick(`"Email"`, `"user"`, `""`, `"email "`, "1", "true", "null")
	}))
	if m.IntN(20) == 0 {
		by = m.any()
	}
	return m.object(
		"action", m.or(`"`+m.pick("created", "updated", "deleted")+`"`, func() string {
			return m.pick(`"Created"`, `"toggled"`, `"<b>&"`, `""`, `" updated"`, `"größe \" \\"`, "0", "false", "null")
		}),
		"change_id", m.or(fmt.Sprint(m.Int64N(5)-2), m.integer),
		"created_at", m.or(`"`+time.UnixMicro(m.Int64N(4e15)).Format(time.RFC3339Nano)+`"`, m.time),
		"created_by", by,
		"flag", m.or(`"new-checkout"`, m.text),
	)
}

// object leaves a member out now and then, and puts one in.
func (m bodyMaker) object(members ...string) string {
	var parts []string
	for i := 0; i < len(members); i += 2 {
		if m.IntN(40) > 0 {
			parts = append(parts, `"`+members[i]+`":`+members[i+1])
		}
	}
	if m.IntN(20) == 0 {
		parts = append(parts, `"tags":{"a":[1,null]}`)
	}
	m.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return "{" + strings.Join(parts, ",") + "}"
}

func (m bodyMaker) or(good string, other func() string) string {
	if m.IntN(8) > 0 {
		return good
	}
	return other()
}

func (m bodyMaker) pick(from ...string) string { return from[m.IntN(len(from))] }

func (m bodyMaker) any() string {
	return m.pick("null", "true", "false", "0", "1", "-7", "1.5", `""`, `"x"`, "[]", "{}", `[1]`, `{"a":1}`, `["x"]`)
}

func (m bodyMaker) text() string {
	limit := m.IntN(5) + m.pickInt(98, 254)
	b, err := json.Marshal(m.pick(
		"", " ", "\t\n", " my flag ", "größe", "日本語", "🚩", "<b>&\"'\\", "a\u2028b", "\u200b", "a\x00b", "\u00a0x\u3000", "\ufeffx",
		strings.Repeat("x", limit), strings.Repeat("🚩", limit), " "+strings.Repeat("ü", limit)+" ", strings.Repeat("\x00", limit),
	))
	if err != nil {
		panic(err)
	}
	return m.pick(string(b), string(b), string(b), "null", "true", "7", "-1", "1.5", "[]", "{}", `["a"]`)
}

func (m bodyMaker) pickInt(from ...int) int { return from[m.IntN(len(from))] }

func (m bodyMaker) integer() string {
	digits := fmt.Sprint(m.Uint64())
	return m.pick("0", "-0", digits, "-"+digits, digits+digits+digits, `"`+digits+`"`, `" 7 "`, `"+7"`, `"-7"`, `"007"`, `"7.0"`, `"7."`, `"7.5"`, `".0"`, `"."`, `"-"`, `"+-7"`,
		`"x"`, `""`, `" "`, `"0x7"`, `"7e3"`, "1.0", "1.5", "-2.0", "0.0", "1e+21", "null", "true", "[]", "{}", `"7 7"`, `"7.0 "`)
}

// time leaves out a date alone, which Django takes from 4.0 on only.
func (m bodyMaker) time() string {
	at := time.Date(m.pickInt(2, 1969, 2024, 9998), time.Month(1+m.IntN(12)), 1+m.IntN(31), m.IntN(24), m.IntN(60), m.IntN(60), m.pickInt(0, 1, 1000, 123456789, 500e6), time.FixedZone("", 900*(m.IntN(113)-56)))
	return m.pick(
		at.Format(`"`+time.RFC3339Nano+`"`), at.Format(`"`+time.RFC3339+`"`), at.UTC().Format(`"`+time.RFC3339Nano+`"`), at.Format(`"2006-01-02T15:04:05"`), at.Format(`"2006-01-02 15:04:05"`),
		at.Format(`"2006-01-02T15:04:05-0700"`), at.Format(`"2006-01-02T15:04:05.000Z"`), at.Format(`"2006-01-02T15:04Z"`), at.Format(`"`+time.RFC1123+`"`),
		at.Format(`"`+time.ANSIC+`"`), at.Format(`"02.01.2006 15:04"`), `"`+at.String()+`"`, fmt.Sprint(at.Unix()), fmt.Sprintf(`"%d"`, at.Unix()), fmt.Sprint(float64(at.UnixMilli())/1000),
		`"2024-02-30T00:00:00Z"`, `"2024-13-01T00:00:00Z"`, `"2024-01-01T24:00:00Z"`, `"2024-01-01T00:00:60Z"`, `"0000-01-01T00:00:00Z"`, `"yesterday"`, `""`, `" 2024-01-01T00:00:00Z"`, "null", "true", "[]",
	)
}
