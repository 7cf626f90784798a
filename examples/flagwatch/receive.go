package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/environ"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// door is where a product's webhooks come in, as it is written in the file.
type door struct {
	// Product is "growthbook", "flipt" or "go-feature-flag", or "any" for another
	// one that can send a secret in a header.
	Product string `json:"product"`
	// Name is what it is called in logs, and as the author of changes that nobody is
	// said to have made. Defaults to the product's name.
	Name string `json:"name"`
	// Path is where the product posts to. Defaults to "/webhooks/" and the name.
	Path string `json:"path"`
	// SecretFrom names the environment variable that has the secret; the one with
	// _NEXT behind it has a second one, while it is replaced.
	SecretFrom string `json:"secret_from"`
	// Sources are the names of watched sources that the webhooks are about. They are
	// then looked at when a webhook comes, and its author signs what is found; else
	// what the webhook says is reported. Where the product is watched as well it has
	// to be said, if only by an empty list: these are other flags.
	Sources []string `json:"sources"`

	Environments []string `json:"environments"` // of growthbook: those that count
	Namespaces   []string `json:"namespaces"`   // of flipt
	Header       string   `json:"header"`       // of any: the header that has the secret
	Author       string   `json:"author"`       // of any: where the author stands
	Flags        string   `json:"flags"`        // of any: where the flags stand
}

func (d door) product() (receive.Product, error) {
	switch d.Product {
	case "growthbook":
		return receive.GrowthBook{Environments: d.Environments}, nil
	case "flipt":
		return receive.Flipt{Namespaces: d.Namespaces}, nil
	case "go-feature-flag":
		return receive.GoFeatureFlag{}, nil
	case "any":
		return receive.Any{Product: d.Name, Header: d.Header, Author: d.Author, Flags: d.Flags}, nil
	}
	return nil, errors.New("product is none of any, flipt, go-feature-flag, growthbook")
}

// fits refuses settings that the product has no use for.
func (d door) fits() error {
	for setting, of := range map[string]struct {
		set     bool
		product string
	}{
		"environments": {len(d.Environments) > 0, "growthbook"}, "namespaces": {len(d.Namespaces) > 0, "flipt"},
		"header": {d.Header != "", "any"}, "author": {d.Author != "", "any"}, "flags": {d.Flags != "", "any"},
	} {
		if of.set && d.Product != of.product {
			return fmt.Errorf("%s is a setting of the product %s", setting, of.product)
		}
	}
	return nil
}

// secrets are those that the product may sign with.
func (d door) secrets(env func(string) string) ([]signing.Secret, error) {
	if d.SecretFrom == "" {
		return nil, errors.New("secret_from must name the variable that has the secret")
	}
	var secrets []signing.Secret
	for _, name := range []string{d.SecretFrom, d.SecretFrom + "_NEXT"} {
		value, err := environ.Secret(env, name)
		if err != nil {
			return nil, err
		}
		if secret := signing.NewSecret(value); !secret.IsZero() {
			secrets = append(secrets, secret)
		}
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%s or %s_FILE must be set", d.SecretFrom, d.SecretFrom)
	}
	return secrets, nil
}

// config is the receiver's, but for what it delivers with.
func (d door) config(env func(string) string) (receive.Config, string, error) {
	product, err := d.product()
	if err != nil {
		return receive.Config{}, "", err
	}
	if err := d.fits(); err != nil {
		return receive.Config{}, "", err
	}
	secrets, err := d.secrets(env)
	if err != nil {
		return receive.Config{}, "", err
	}
	name := cmp.Or(d.Name, product.Name())
	path := cmp.Or(d.Path, "/webhooks/"+name)
	if path[0] != '/' || strings.ContainsAny(path, "{} ?#") {
		return receive.Config{}, "", errors.New(`path has to begin with "/", without spaces, "{", "}", "?" and "#"`)
	}
	return receive.Config{Product: product, Name: name, Secrets: secrets}, path, nil
}

// lends reports whether webhooks lend their authors to a source. Of a product that
// names none its changes would wait for nothing.
func (c config) lends(source string) bool {
	return slices.ContainsFunc(c.Receive, func(d door) bool { return d.namesAuthors() && slices.Contains(d.Sources, source) })
}

func (d door) namesAuthors() bool {
	return d.Product != "go-feature-flag" && (d.Product != "any" || d.Author != "")
}

// reportsTwice refuses what would be watched and reported by webhook as well.
func (c config) reportsTwice(d door) error {
	if d.Sources != nil {
		return nil
	}
	for _, source := range c.Sources {
		if source.Format == d.Product {
			return fmt.Errorf(`%s is watched, too, so that each change would be reported twice: set "sources" to the name of the source, or to [] if it has other flags`, d.Product)
		}
	}
	return nil
}

// openDoors makes the receivers.
func (s *service) openDoors(c config, store queue.Store, logger *slog.Logger) error {
	s.doors = map[string]*receive.Receiver{}
	names := map[string]bool{}
	for i, each := range c.Receive {
		receiver, path, err := s.openDoor(c, each, store, logger)
		if err != nil {
			return fmt.Errorf("receive[%d]: %w", i, err)
		}
		// They go before what they give to.
		s.closers = append([]func(context.Context) error{receiver.Close}, s.closers...)
		if names[receiver.Name()] || s.doors[path] != nil {
			return fmt.Errorf("receive[%d]: two have the name %q, or the path %s", i, receiver.Name(), path)
		}
		names[receiver.Name()], s.doors[path] = true, receiver
	}
	return nil
}

func (s *service) openDoor(c config, each door, store queue.Store, logger *slog.Logger) (*receive.Receiver, string, error) {
	config, path, err := each.config(c.env)
	if err := errors.Join(err, c.reportsTwice(each)); err != nil {
		return nil, "", err
	}
	for _, name := range each.Sources {
		i := slices.IndexFunc(s.watchers, func(w *changes.Watcher) bool { return w.Name() == name })
		if i < 0 {
			return nil, "", fmt.Errorf("no source is called %q", name)
		}
		config.Watchers = append(config.Watchers, s.watchers[i])
	}
	config.Store, config.Emitter, config.Logger = store, s.emitter, logger
	receiver, err := receive.New(config)
	return receiver, path, err
}

// webhooks serves the doors, and nothing else.
func (s *service) webhooks() http.Handler {
	mux := http.NewServeMux()
	for path, receiver := range s.doors {
		mux.Handle(path, receiver)
	}
	mux.Handle("/", &s.elsewhere)
	return mux
}

// paths are those of the doors, sorted.
func (s *service) paths() []string { return slices.Sorted(maps.Keys(s.doors)) }

// serveWebhooks serves the doors on an address of their own, if there are any,
// until the function returned is called.
func (s *service) serveWebhooks(ctx context.Context, c config, logger *slog.Logger) (stop func(), err error) {
	if len(s.doors) == 0 {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.ReceiveListen)
	if err != nil {
		return nil, err
	}
	s.elsewhere.logger = logger
	server := &http.Server{
		Handler: s.webhooks(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 20 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	logger.Info("flagwatch: webhooks are received", "webhooks", listener.Addr().String(), "paths", s.paths())
	return func() {
		// What is under way is answered: it takes no longer than the receivers'
		// patience.
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin/4)
		defer cancel()
		_ = errors.Join(server.Shutdown(stopping), server.Close())
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			logger.Error("flagwatch: the webhooks' server has ended", "error", err)
		}
	}, nil
}
