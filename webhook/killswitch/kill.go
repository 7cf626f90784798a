package killswitch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// kill is a state that a flag is to be set to. Its JSON is what the store keeps:
// the decision, and nothing of the alert but its name and what tells alerts
// apart.
type kill struct {
	Version int       `json:"v"`
	Target  Target    `json:"target"`
	Flag    string    `json:"flag"`
	On      bool      `json:"on,omitempty"`
	Alert   string    `json:"alert,omitempty"`
	Trigger Trigger   `json:"trigger"`
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at"` // when it was accepted

	// Order is its place among the decisions about the flag.
	Order int64 `json:"order"`
	// Again says that it has a record already: it repeats what a late switch has
	// undone.
	Again bool `json:"again,omitempty"`

	// Signed, Identity, Incident and Ends are the alert's: its signed time, what
	// tells alert rules apart, the incident, and that it tells of the end of one.
	Signed   time.Time `json:"signed"`
	Identity string    `json:"identity,omitempty"`
	Incident string    `json:"incident,omitempty"`
	Ends     bool      `json:"ends,omitempty"`
}

func (k *kill) key() string { return k.Target.String() }

// note is the name of the note about its flag.
func (k *kill) note() string { return noteOf(itemKey(k.Target)) }

// cools is what a cool-down goes by.
func (k *kill) cools() string { return k.Identity + "\x00" + string(k.Trigger) }

// after reports whether k is about a later moment than other, by what Sentry has
// signed. Of two alerts about one incident at the same time, the one that tells
// of its end is the later: Sentry cuts that time to the minute.
func (k *kill) after(other *kill) bool {
	if k.Signed.Equal(other.Signed) {
		return k.Incident != "" && k.Incident == other.Incident && k.Ends && !other.Ends
	}
	return k.Signed.After(other.Signed)
}

func (k *kill) switchOf(id string) Switch {
	return Switch{ID: id, Target: k.Target, On: k.On, Alert: k.Alert, Trigger: string(k.Trigger), By: k.By, At: k.At}
}

const killVersion = 1

// storedKill is a kill as it is kept, with the process that accepted it.
type storedKill struct {
	kill
	owner string
}

type ownedKill struct {
	kill
	Owner string `json:"owner"`
}

func (j *journal) item(k *kill, id string) queue.Item {
	return queue.Item{ID: id, Key: itemKey(k.Target), Body: encoded(ownedKill{*k, j.owner})}
}

func decodeKill(body []byte) (storedKill, error) {
	var k ownedKill
	if err := json.Unmarshal(body, &k); err != nil {
		return storedKill{}, fmt.Errorf("killswitch: the item was not made by a relay: %w", err)
	}
	if k.Version != killVersion {
		return storedKill{}, fmt.Errorf("killswitch: the item has version %d; a newer relay made it", k.Version)
	}
	return storedKill{k.kill, k.Owner}, k.Target.Validate()
}

// itemID makes an ID that tells the body and the flag, so that the store knows a
// repeat.
func itemID(body string, target Target) string {
	if len(body) != hex.EncodedLen(sha256.Size) {
		sum := sha256.Sum256([]byte(body))
		body = hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256([]byte(target.String()))
	return body + "-" + hex.EncodeToString(sum[:8])
}

// bodyOf returns what an item's ID tells of the body.
func bodyOf(id string) string {
	body, _, _ := strings.Cut(id, "-")
	return body
}

// itemKey keeps what is about one flag together.
func itemKey(target Target) string { return shortened(target.String(), queue.MaxKey) }

// flagNote is what the names of notes about flags begin with.
const flagNote = "flag "

// noteOf returns the name of the note about the flag whose items have the key.
func noteOf(key string) string { return flagNote + shortened(key, queue.MaxName-len(flagNote)) }

// shortened stands for what is longer than the most.
func shortened(key string, most int) string {
	if len(key) <= most {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}
