package readme

import (
	"log"
	"os"
	"testing"

	"github.com/sentryflags/sentryflags-go/vwo"
)

func TestAlert(t *testing.T) {
	t.Setenv("VWO_TOKEN", "the-token-of-the-test")

	// README
	trigger, err := vwo.NewTriggerURL(vwo.TriggerURLConfig{
		Token:       vwo.NewToken(os.Getenv("VWO_TOKEN")),
		Environment: "production",
		Feature:     "new-checkout",
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Print(trigger) // the token is redacted; trigger.Reveal() is what is pasted into Sentry
	// end of README

	if trigger.Reveal() == trigger.String() {
		t.Error("the token is not redacted")
	}
}
