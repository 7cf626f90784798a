package vwo_test

import (
	"context"
	"fmt"

	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
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
	target := killswitch.Target{Flag: "new-checkout", Attributes: map[string]string{"environment": "1"}}
	fmt.Println(client.Check(context.Background(), target))

	target.Flag = "new_checkout"
	was, err := client.Toggle(context.Background(), killswitch.Switch{Target: target, Alert: "Checkout failing"})
	fmt.Println(was, err, standIn.Enabled("production", "new_checkout"))
	// Output:
	// vwo: no such account, environment or feature, or no permission for it; check the rule against VWO: feature "new-checkout"; there are "new_checkout"
	// unknown <nil> false
}
