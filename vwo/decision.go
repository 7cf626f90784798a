package vwo

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Verdict is what the relay makes of a request.
type Verdict string

// The verdicts.
const (
	// Refused: it is not certain that Sentry sent it. Answered 4xx, or 503 when
	// too many requests arrive at once or the relay is closing.
	Refused Verdict = "refused"
	// Ignored: Sentry sent it, and nothing happens. Answered 200.
	Ignored Verdict = "ignored"
	// Acted: flags are being switched, or would be in a dry run. Answered 200
	// when they have been, or 202.
	Acted Verdict = "acted"
	// Failed: Sentry sent it and a rule matches, but the relay could not take
	// it on. Answered 503; reported.
	Failed Verdict = "failed"
)

// Decision is what the relay made of one request.
type Decision struct {
	Verdict Verdict
	Reason  Reason
	// Status is the HTTP status of the answer; 0 while it is not known yet.
	Status int
	// Trigger is Sentry's resource and action, as recognised from the signed
	// body; empty for what was refused before.
	Trigger Trigger
	// Alert and Project are the names in the alert. They are foreign text: cut
	// to 100 code points, control characters removed.
	Alert, Project string
	// SignedAt is the time in the signed body; zero if it has none.
	SignedAt time.Time
	// Targets are the flags that are switched. SwitchOn is those among them
	// that are switched on.
	Targets, SwitchOn []Target
}

func (d *Decision) describe(a *alert) {
	if a.resource != resourceUnknown {
		d.Trigger = Trigger(printable(string(a.trigger()), maxQuoted))
	}
	d.Alert = printable(a.name, maxQuoted)
	if n := len(a.projects); n > 0 {
		d.Project = printable(a.projects[n-1], maxQuoted)
	}
	d.SignedAt = a.at
}

// LogValue implements slog.LogValuer.
func (d Decision) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.String("verdict", string(d.Verdict)),
		slog.String("reason", string(d.Reason)),
		slog.Int("status", d.Status),
	}
	if d.Trigger != "" {
		attributes = append(attributes, slog.String("trigger", quote(string(d.Trigger))))
	}
	if d.Alert != "" {
		attributes = append(attributes, slog.String("alert", quote(d.Alert)), slog.String("project", quote(d.Project)), slog.Time("signed_at", d.SignedAt))
	}
	if len(d.Targets) > 0 {
		attributes = append(attributes, slog.Any("flags", d.Targets), slog.Any("switch_on", d.SwitchOn))
	}
	return slog.GroupValue(attributes...)
}

// conclude writes the answer, the log line and the callback.
func (r *Relay) conclude(ctx context.Context, w http.ResponseWriter, d Decision) {
	level := slog.LevelInfo
	if d.Verdict != Ignored {
		level = slog.LevelWarn
	}
	if r.logs(ctx, level) {
		r.config.Logger.Log(ctx, level, "vwo relay: "+string(d.Verdict), "decision", d)
	}
	if r.config.OnDecision != nil {
		func() {
			defer r.recovered("OnDecision")
			r.config.OnDecision(d)
		}()
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if d.Status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.WriteHeader(d.Status)
	if d.Verdict == Refused {
		_, _ = w.Write([]byte("refused\n")) // why is for the log: whoever probes learns nothing
		return
	}
	_, _ = w.Write([]byte(string(d.Verdict) + ": " + string(d.Reason) + "\n"))
}

// logs reports whether anybody reads, which saves writing for nobody.
func (r *Relay) logs(ctx context.Context, level slog.Level) bool {
	return r.config.Logger.Enabled(ctx, level)
}
