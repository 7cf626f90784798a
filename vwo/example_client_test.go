package vwo_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
)

func ExampleClient_Check() {
	standIn := vwotest.NewServer(vwotest.Config{Features: []string{"new_checkout"}}) // VWO, in a program
	defer standIn.Close()
	client, err := vwo.NewClient(vwo.ClientConfig{
		Token: vwo.NewToken(standIn.Token()), BaseURL: standIn.URL,
		Unlimited: true, // for a stand-in only
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = client.Check(context.Background(), vwo.Target{Environment: "production", Feature: "new-checkout"})
	fmt.Println(errors.Is(err, vwo.ErrNotFound))

	fmt.Println(client.Toggle(context.Background(), "production", "new_checkout", false))
	fmt.Println(standIn.Enabled("production", "new_checkout"))
	// Output:
	// true
	// <nil>
	// false
}
