// Package webhooktest is a stand-in for Sentry's change-tracking endpoint that
// judges as Sentry does: the path, the method, the signature over the bytes
// received, the JSON, and the rules field by field with Sentry's own error
// texts. It is to a sender of flag changes what net/http/httptest is to an HTTP
// client.
//
//	server := webhooktest.NewServer(webhooktest.Config{})
//	defer server.Close()
//	client, err := webhook.NewClient(webhook.Config{
//		URL:     server.URL(),
//		Secrets: []signing.Secret{server.Secret()},
//	})
//	…
//	server.Changes() // what Sentry would have stored, in its order
//
// What a test can do with it:
//
//   - read back what was stored ([Handler.Changes], [Handler.Records]) and every
//     request with its answer ([Handler.Requests]), or wait for them without
//     sleeping ([Handler.WaitChanges], [Handler.WaitReceived],
//     [Handler.WaitAnswered]);
//   - script what goes wrong on the way ([Handler.Fail], [Handler.FailAlways]):
//     outages, rate limits, silence, broken connections before and after the
//     changes were stored, redirects, answers that are cut off or never end;
//   - play an older server ([Config]): flag names of 100 characters, the older
//     shape of the errors;
//   - replace the secret ([Handler.SetSecret]);
//   - read the log as Sentry's API returns it (GET …/flags/logs/);
//   - run in a testing/synctest bubble ([Config.InMemory]);
//   - send a relay of one's own the alerts that Sentry sends, signed
//     ([NewAlertRequest]).
//
// It shares no code with package webhook's validation and encoding, so that it
// can contradict them.
//
// It judges what a sender can plausibly make. Where a body is no JSON the status
// is Sentry's and the words are not; digits of other scripts, dates by the week,
// the first and the last hours of the calendar, halves of surrogate pairs and a
// list in the place of a text are judged by the plain rules.
//
// What it is not for: it is no relay, keeps everything in memory without limit,
// and authenticates with secrets that are printed here. Only the generic
// provider is played. Never expose it to a network.
package webhooktest
