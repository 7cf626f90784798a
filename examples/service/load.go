package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	callers = 64   // requests under way at the same time, at most
	users   = 1000 // who takes turns
)

// load calls the service at a steady rate, half of it over gRPC, and remembers
// what the requests that failed had received.
type load struct {
	http *http.Client
	web  string
	grpc *grpc.ClientConn
	rate int // requests a second

	sent atomic.Int64

	mu     sync.Mutex
	failed map[string]string // by request: what it received
	bad    span              // of the requests that failed because of the flag
	odd    error             // the first failure that is none of the shop's
	oddly  int
}

type span struct{ first, last time.Time }

func newLoad(web, rpc net.Addr, rate int) (*load, error) {
	connection, err := grpc.NewClient(rpc.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	return &load{
		http: &http.Client{Transport: transport, Timeout: patience}, web: "http://" + web.String() + "/checkout?user=",
		grpc: connection, rate: rate, failed: map[string]string{},
	}, nil
}

// run calls until ctx ends, and returns when the last answer is there.
func (l *load) run(ctx context.Context) {
	began := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for {
				n := l.sent.Add(1) - 1
				due := began.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
				select {
				case <-ctx.Done():
					l.sent.Add(-1)
					return
				case <-time.After(time.Until(due)):
					l.call(context.WithoutCancel(ctx), n)
				}
			}
		})
	}
	all.Wait()
}

// call makes one request.
func (l *load) call(ctx context.Context, n int64) {
	request, user := fmt.Sprintf("r%d", n), fmt.Sprintf("user-%d", n/2%users)
	checkout := l.overHTTP
	if n%2 == 1 {
		checkout = l.overGRPC
	}
	received, problem, err := checkout(ctx, request, user)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.oddly++
		if l.odd == nil {
			l.odd = err
		}
	case problem != "":
		l.failed[request] = received
	}
	if problem == errNoCurrency.Error() {
		l.bad.last = time.Now()
		if l.bad.first.IsZero() {
			l.bad.first = l.bad.last
		}
	}
}

func (l *load) overHTTP(ctx context.Context, id, user string) (received, problem string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.web+url.QueryEscape(user), http.NoBody)
	if err != nil {
		return "", "", err
	}
	request.Header.Set("Request-Id", id)
	response, err := l.http.Do(request)
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return strings.Join(response.Header["Received"], " "), strings.TrimSpace(string(body)), err
}

func (l *load) overGRPC(ctx context.Context, id, user string) (received, problem string, err error) {
	var trailer metadata.MD
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "request-id", id), patience)
	defer cancel()
	err = l.grpc.Invoke(ctx, checkoutMethod, wrapperspb.String(user), new(emptypb.Empty), grpc.Trailer(&trailer))
	received = strings.Join(trailer["received"], " ")
	if answer := status.Convert(err); answer.Code() == codes.Internal && received != "" {
		return received, answer.Message(), nil
	}
	return received, "", err
}

// badSpan returns when the first and the last request failed because of the flag.
func (l *load) badSpan() span {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bad
}

func (l *load) close() {
	l.http.CloseIdleConnections()
	_ = l.grpc.Close() // fails if it is closed already
}
