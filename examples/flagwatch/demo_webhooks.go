package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
)

// demoDoors take the webhooks of the demonstration.
var demoDoors = []door{
	{Product: "growthbook", SecretFrom: "GROWTHBOOK_WEBHOOK_SECRET", Environments: []string{"production"}},
	{Product: "flipt", SecretFrom: "FLIPT_WEBHOOK_SECRET"},
}

// demoSecrets are the environment of the demonstration.
func demoSecrets(name string) string {
	return map[string]string{"GROWTHBOOK_WEBHOOK_SECRET": "the-signing-key-in-growthbook", "FLIPT_WEBHOOK_SECRET": "the-signing-secret-in-flipt"}[name]
}

// demoWebhook is what a product posts, or somebody who would like to be one.
type demoWebhook struct {
	who, what            string
	path, header, secret string
	body                 string
	want                 int // changes
}

func demoWebhooks(now time.Time) []demoWebhook {
	growthbook := fmt.Sprintf(`{"event":"feature.updated","object":"feature","created":%d,"data":{"object":{"id":"one-click-buy"},"previous_attributes":{}},`+
		`"user":{"type":"dashboard","id":"u_7","email":"jane.doe@example.com","name":"Jane Doe"},"environments":["production"]}`, now.UnixMilli())
	flipt := fmt.Sprintf(`{"version":"0.1","type":"flag","action":"created","metadata":{"actor":{"email":"john@example.com"}},`+
		`"payload":{"key":"maintenance-mode","namespace_key":"default"},"timestamp":%q}`, now.Format(time.RFC3339))
	return []demoWebhook{
		{"a person", "rolls a feature out in GrowthBook, which posts a webhook", "/webhooks/growthbook", "X-GrowthBook-Signature", demoSecrets("GROWTHBOOK_WEBHOOK_SECRET"), growthbook, 1},
		{"a person", "adds a flag in Flipt, which posts a webhook", "/webhooks/flipt", "X-Flipt-Webhook-Signature", demoSecrets("FLIPT_WEBHOOK_SECRET"), flipt, 1},
		{"a stranger", "posts one in GrowthBook's name, with a secret of their own", "/webhooks/growthbook", "X-GrowthBook-Signature", "the-secret-of-a-stranger", growthbook, 0},
	}
}

// playWebhooks posts the webhooks to the service.
func (d *demo) playWebhooks(ctx context.Context) error {
	server := httptest.NewServer(d.service.webhooks())
	defer server.Close()
	for _, one := range demoWebhooks(time.Now()) {
		d.edits++
		outcome, err := d.post(ctx, server, one)
		if err != nil {
			return fmt.Errorf("%s: %w", one.what, err)
		}
		fmt.Fprintf(d.out, "%-12s  %s\n              %s\n", one.who, one.what, outcome)
	}
	return nil
}

func (d *demo) post(ctx context.Context, server *httptest.Server, one demoWebhook) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+one.path, bytes.NewReader([]byte(one.body)))
	if err != nil {
		return "", err
	}
	signature, err := signing.Sign(signing.NewSecret(one.secret), []byte(one.body))
	if err != nil {
		return "", err
	}
	request.Header.Set(one.header, signature)
	answer, err := server.Client().Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if one.want == 0 {
		if answer.StatusCode != http.StatusUnauthorized {
			return "", fmt.Errorf("answered %s", answer.Status)
		}
		d.refused++
		return fmt.Sprintf("%s, %s", answer.Status, bytes.TrimSpace(text)), nil
	}
	return d.await(ctx, demoEdit{want: one.want})
}
