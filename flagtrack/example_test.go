package flagtrack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/getsentry/sentry-go"
)

// printer stands for Sentry: a transport that prints the flags of each event.
type printer struct{}

func (printer) Configure(sentry.ClientOptions)        {}
func (printer) Flush(time.Duration) bool              { return true }
func (printer) FlushWithContext(context.Context) bool { return true }
func (printer) Close()                                {}

func (printer) SendEvent(event *sentry.Event) {
	if event.Type == "transaction" {
		data, _ := event.Contexts["trace"]["data"].(map[string]any)
		var attributes []string
		for name, value := range data {
			if strings.HasPrefix(name, "flag.") {
				attributes = append(attributes, fmt.Sprintf("%s=%v", name, value))
			}
		}
		sort.Strings(attributes)
		fmt.Println("span:", strings.Join(attributes, " "))
		return
	}
	message := event.Message
	if len(event.Exception) > 0 {
		message = event.Exception[0].Value
	}
	flags, err := json.Marshal(event.Contexts["flags"])
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s: %s\n", message, flags)
}

// initSentry stands for an application's own sentry.Init.
func initSentry() {
	err := sentry.Init(sentry.ClientOptions{
		Dsn:              "https://key@sentry.example.com/1",
		EnableTracing:    true,
		TracesSampleRate: 1,
		Transport:        printer{},
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
