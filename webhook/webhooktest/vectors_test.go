package webhooktest_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func readVectors[T any](t testing.TB, path string) []T {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []T
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors in", path)
	}
	return vectors
}

// bodyVector is what Django REST framework says to a body; rules.json and
// syntax.json were answered by its own serializers and parser.
type bodyVector struct {
	Name          string
	Body          string
	BodyBase64    []byte `json:"body_base64"`
	MaxFlag       int    `json:"max_flag"`
	Status        int
	AnswerInList  string `json:"answer_in_list"`
	AnswerByIndex string `json:"answer_by_index"`
	Stored        []storedVector
}

type storedVector struct {
	Action        string
	ChangeID      string `json:"change_id"`
	CreatedAt     string `json:"created_at"`
	CreatedBy     string `json:"created_by"`
	CreatedByType string `json:"created_by_type"`
	Flag          string
}

func (v bodyVector) body() string {
	if v.BodyBase64 != nil {
		return string(v.BodyBase64)
	}
	return v.Body
}

func bodyVectors(t testing.TB) []bodyVector {
	return append(readVectors[bodyVector](t, "testdata/rules.json"), readVectors[bodyVector](t, "testdata/syntax.json")...)
}

func TestBodies(t *testing.T) {
	for _, v := range bodyVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			for shape, answer := range map[webhooktest.ErrorShape]string{
				webhooktest.ErrorsInList:  v.AnswerInList,
				webhooktest.ErrorsByIndex: v.AnswerByIndex,
			} {
				s := newServer(t, webhooktest.Config{MaxFlag: v.MaxFlag, ErrorShape: shape})
				status, got := post(t, s, v.body())
				// What is wrong with JSON is said in other words than Python's.
				if before, _, isSyntax := strings.Cut(answer, " - "); isSyntax {
					got, answer = got[:min(len(got), len(before))], before
				}
				if status != v.Status || got != answer {
					t.Errorf("%d %s\nwant %d %s", status, got, v.Status, answer)
				}
				if diff := cmp.Diff(v.Stored, storedVectors(s)); diff != "" {
					t.Errorf("stored (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func storedVectors(s *webhooktest.Server) []storedVector {
	rows := []storedVector{}
	for _, r := range s.Records() {
		c := r.Change
		row := storedVector{
			Action:        string(c.Action),
			ChangeID:      r.ChangeID,
			CreatedAt:     c.CreatedAt.Format("2006-01-02T15:04:05.999999-07:00"),
			CreatedBy:     c.CreatedBy.ID,
			CreatedByType: string(c.CreatedBy.Type),
			Flag:          c.Flag,
		}
		rows = append(rows, row)
	}
	return rows
}

type answerVector struct {
	Name        string
	NoSecret    bool   `json:"no_secret"`
	MaxBody     int64  `json:"max_body"`
	Method      string // POST if empty
	Path        string
	Secret      string  // signs with another one
	Signature   *string // instead of the right one
	ContentType *string `json:"content_type"` // application/json if absent
	Body        string
	Status      int
	AnswerType  string `json:"answer_type"`
	Answer      string
	Allow       string
	Stored      int
}

func TestAnswers(t *testing.T) {
	for _, v := range readVectors[answerVector](t, "testdata/answers.json") {
		t.Run(v.Name, func(t *testing.T) {
			s := newServer(t, webhooktest.Config{
				Secret:  signing.NewSecret("456"),
				MaxBody: v.MaxBody,
			})
			response, answer, err := send(s, v.request(t, s))
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != v.Status || answer != v.Answer || response.Header.Get("Content-Type") != v.AnswerType {
				t.Errorf("%d %q %s\nwant %d %q %s", response.StatusCode, response.Header.Get("Content-Type"), answer, v.Status, v.AnswerType, v.Answer)
			}
			if allow := response.Header.Get("Allow"); allow != v.Allow {
				t.Errorf("Allow is %q, want %q", allow, v.Allow)
			}
			if n := len(s.Changes()); n != v.Stored {
				t.Errorf("%d changes stored, want %d", n, v.Stored)
			}
		})
	}
}

func (v answerVector) request(t *testing.T, s *webhooktest.Server) *http.Request {
	if v.NoSecret {
		s.SetSecret(signing.Secret{})
	}
	r := signed(t, s, v.Body)
	if v.Method != "" {
		r.Method = v.Method
	}
	r.URL.Path = v.Path
	if v.Secret != "" {
		r.Header.Set(signing.Header, sign(t, signing.NewSecret(v.Secret), v.Body))
	}
	if v.Signature != nil {
		r.Header.Set(signing.Header, *v.Signature)
	}
	if v.ContentType != nil {
		r.Header.Set("Content-Type", *v.ContentType)
	}
	return r
}

// The rows' times are whole: UTC, and cut to the microsecond.
func TestStoredTime(t *testing.T) {
	s := newServer(t, webhooktest.Config{})
	post(t, s, strings.Replace(hello, "2024-12-12T00:00:00+00:00", "2024-12-12T01:00:00.1234567+02:30", 1))
	want := time.Date(2024, 12, 11, 22, 30, 0, 123456000, time.UTC)
	if got := s.Changes()[0].CreatedAt; !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("stored %v, want %v", got, want)
	}
}

// A change_id that does not fit into a Change is in the record in full.
func TestLongChangeID(t *testing.T) {
	const long = "9223372036854775808"
	s := newServer(t, webhooktest.Config{})
	post(t, s, strings.Replace(hello, "9734362632", long, 1))
	if r := s.Records()[0]; r.ChangeID != long || r.Change.ChangeID != 0 {
		t.Errorf("%s is stored as %q and %d", long, r.ChangeID, r.Change.ChangeID)
	}
}

// White space is taken off, and what an answer quotes is quoted as it came.
func TestTrimsAndQuotes(t *testing.T) {
	s := newServer(t, webhooktest.Config{})
	post(t, s, flagged(`\u001c\u00a0\u3000x\n\u001f`))
	if got := s.Changes()[0].Flag; got != "x" {
		t.Errorf("stored %q, want x", got)
	}
	want := `{"data":{"0":{"action":["\"<b>&\" is not a valid choice."]}}}`
	if _, got := post(t, s, strings.Replace(hello, "created", "<b>&", 1)); got != want {
		t.Errorf("answered %s, want %s", got, want)
	}
}
