// Package signing makes and checks the signatures that Sentry puts on its
// webhooks and expects on the webhooks it receives: the lower-case hexadecimal
// HMAC-SHA256 of the raw body, keyed with a shared secret, with no prefix and
// no time stamp.
//
// It serves both directions:
//
//   - [Header] signs feature-flag changes that are posted to Sentry;
//   - [HookHeader] signs the alerts that Sentry posts to an internal
//     integration.
//
// A [Secret] cannot be printed by accident, an empty one is an error wherever
// it is used, and several can be accepted while one is being replaced:
//
//	keys, err := signing.NewKeys(signing.NewSecret(current), signing.NewSecret(previous))
//	…
//	body, err := signing.VerifyRequest(r, signing.HookHeader, keys, 0)
//	if err != nil {
//		http.Error(w, "refused", signing.StatusCode(err))
//		return
//	}
//
// What it is not for: a valid signature says who wrote the body, not when and
// not for whom. Neither header covers the other headers, the URL or a time, so
// whoever acts on a body has to recognise repeats and old messages itself. An
// empty body has one constant signature per secret; never let it authorise
// anything.
package signing
