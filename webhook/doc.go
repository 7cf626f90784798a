// Package webhook reports changes of feature-flag definitions to Sentry's
// generic change-tracking endpoint.
package webhook
