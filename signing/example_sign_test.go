package signing_test

import (
	"fmt"

	"github.com/sentryflags/sentryflags-go/signing"
)

func ExampleSign() {
	secret := signing.NewSecret("0123456789abcdef0123456789abcdef")
	body := []byte(`{"data":[],"meta":{"version":1}}`)

	signature, err := signing.Sign(secret, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(signing.Header+":", signature)
	fmt.Println("signed with", secret)
	// Output:
	// X-Sentry-Signature: 20dd2b61b18db3b8f8faab0497abb80503fd1d3990e61285750f567b7b11e299
	// signed with [redacted]
}
