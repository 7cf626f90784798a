package vwo_test

import (
	"fmt"

	"github.com/sentryflags/sentryflags-go/vwo"
)

func ExampleTriggerURL() {
	trigger, err := vwo.NewTriggerURL(vwo.TriggerURLConfig{
		Token:       vwo.NewToken("the-api-token"),
		Environment: "production",
		Feature:     "new_checkout",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(trigger)
	fmt.Println("to paste:", len(trigger.Reveal()), "characters")
	// Output:
	// https://app.vwo.com/api/v2/accounts/current/environments/production/features/new_checkout/toggle?isEnabled=0&authToken=REDACTED
	// to paste: 132 characters
}
