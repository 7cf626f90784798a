package webhook

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests of this file fail on the way to a connection, over real sockets.
// Whatever it is, nothing was sent, and the error says so and why.

// listen serves each connection with handle, which need not close it.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			wg.Go(func() { handle(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return listener.Addr().String()
}

// identity makes a certificate for 127.0.0.1 and a pool that trusts it.
func identity(t *testing.T, notAfter time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// handshake makes a TLS server of a handler of bare connections: after a
// handshake that failed it reads on, so that its alert arrives.
func handshake(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		if tls.Server(conn, config).Handshake() != nil {
			_, _ = io.Copy(io.Discard, conn)
		}
	}
}

// lateReader reads what comes after the client's first words when the client
// has had time to send its request behind its side of the handshake.
type lateReader struct {
	net.Conn
	reads int
}

func (l *lateReader) Read(p []byte) (int, error) {
	l.reads++
	if l.reads == 3 { // one for the first record's header, one for the rest
		time.Sleep(200 * time.Millisecond)
	}
	return l.Conn.Read(p)
}

func TestNothingIsSentWithoutAConnection(t *testing.T) {
	good, pool := identity(t, time.Now().Add(time.Hour))
	expired, expiredPool := identity(t, time.Now().Add(-time.Hour))
	reset := func(conn net.Conn) {
		_, _ = io.ReadFull(conn, make([]byte, 5))
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	for _, tc := range []struct {
		name   string
		server func(net.Conn)
		client func(*tls.Config)
		roots  *x509.CertPool
		want   string // part of the reason
	}{
		{"a port with plain HTTP", func(conn net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		}, nil, pool, "plain HTTP"},
		{"a port with another protocol", func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2p1\r\n") }, nil, pool, "does not speak TLS"},
		{"protocol version", handshake(&tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS13}), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, pool, "protocol version not supported"},
		{"no common application protocol", handshake(&tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"mqtt"}}), nil, pool, "no application protocol"},
		{"no common cipher", handshake(&tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}), func(c *tls.Config) {
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
			c.MaxVersion = tls.VersionTLS12
		}, pool, "handshake failure"},
		{"no certificate to show", handshake(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }}), nil, pool, "internal error"},
		{"a client certificate is asked for, TLS 1.2", handshake(&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}), nil, pool, "handshake failure"},
		{"a client certificate is asked for, TLS 1.3", func(conn net.Conn) {
			handshake(&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2", "http/1.1"}})(&lateReader{Conn: conn})
		}, nil, pool, "certificate required"},
		{"unknown authority", handshake(&tls.Config{Certificates: []tls.Certificate{good}}), nil, expiredPool, "unknown authority"},
		{"expired", handshake(&tls.Config{Certificates: []tls.Certificate{expired}}), nil, expiredPool, "expired"},
		{"another name", handshake(&tls.Config{Certificates: []tls.Certificate{good}}), func(c *tls.Config) { c.ServerName = "sentry.example.com" }, pool, "sentry.example.com"},
		{"hangs up at once", func(conn net.Conn) { conn.Close() }, nil, pool, ""},
		{"hangs up during the handshake", func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)); conn.Close() }, nil, pool, "hung up before the request"},
		{"resets during the handshake", reset, nil, pool, "connection reset"},
		{"half a handshake", func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte{22, 3, 3, 0, 122, 2, 0})
			conn.Close()
		}, nil, pool, "EOF"},
		{"never ends the handshake", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, nil, pool, "handshake took too long"},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", tc.name, http2), func(t *testing.T) {
				transport := &http.Transport{
					TLSClientConfig:   &tls.Config{RootCAs: tc.roots, NextProtos: []string{"http/1.1"}},
					ForceAttemptHTTP2: http2,
				}
				if strings.HasPrefix(tc.name, "never") {
					transport.TLSHandshakeTimeout = 50 * time.Millisecond
				}
				if tc.client != nil {
					tc.client(transport.TLSClientConfig)
				}
				defer transport.CloseIdleConnections()
				client := newTestClient(t, func(c *Config) {
					c.Host, c.HTTPClient, c.Timeout = "https://"+listen(t, tc.server), &http.Client{Transport: transport}, 5*time.Second
				})
				unreachable(t, client.Send(t.Context(), valid), tc.want)
				for _, err := range client.Logs(t.Context(), "token", LogsQuery{}) {
					if errors.Is(err, ErrUnauthorized) || err == nil {
						t.Errorf("Logs: %v", err)
					}
				}
			})
		}
	}
}

func unreachable(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrAmbiguous) {
		t.Fatalf("got %v", err)
	}
	if text := err.Error(); !strings.Contains(text, "nothing was sent") || !strings.Contains(text, want) || strings.Contains(text, "failed with a") {
		t.Errorf("the reason is not %q: %v", want, err)
	}
}

func TestNothingIsSentThroughAProxyThatRefuses(t *testing.T) {
	proxied := func(t *testing.T, proxy string) *Client {
		address, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{Proxy: http.ProxyURL(address)}
		t.Cleanup(transport.CloseIdleConnections)
		return newTestClient(t, func(c *Config) {
			c.HTTPClient, c.Timeout = &http.Client{Transport: transport}, 5*time.Second
		})
	}
	answer := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, text)
			conn.Close()
		}
	}
	for name, tc := range map[string]struct {
		proxy func(net.Conn)
		want  string
	}{
		"asks for credentials": {answer("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), "Proxy Authentication Required"},
		"forbids":              {answer("HTTP/1.1 403 Forbidden\r\n\r\n"), "Forbidden"},
		"cannot connect":       {answer("HTTP/1.1 502 Bad Gateway\r\n\r\n"), "Bad Gateway"},
		"hangs up":             {answer(""), "EOF"},
		"echoes credentials":   {answer("HTTP/1.1 407 no entry for me with " + treasure + "\r\n\r\n"), ""},
		"speaks TLS no more": {func(conn net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			_, _ = conn.Read(make([]byte, 16<<10)) // what is unread would make a reset of the end
			conn.Close()
		}, "hung up before"},
	} {
		t.Run(name, func(t *testing.T) {
			err := proxied(t, "http://me:"+treasure+"@"+listen(t, tc.proxy)).Send(t.Context(), valid)
			if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), treasure) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("is not there", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		unreachable(t, proxied(t, "http://"+listener.Addr().String()).Send(t.Context(), valid), "refused")
	})
	t.Run("SOCKS", func(t *testing.T) {
		// Version 5, no authentication; then: connection not allowed.
		socks := listen(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 64))
			_, _ = conn.Write([]byte{5, 0})
			_, _ = conn.Read(make([]byte, 256))
			_, _ = conn.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0})
		})
		err := proxied(t, "socks5://me:"+treasure+"@"+socks).Send(t.Context(), valid)
		unreachable(t, err, "connection not allowed by ruleset")
		if strings.Contains(err.Error(), treasure) {
			t.Errorf("the error shows the proxy's password: %v", err)
		}
	})
}

// TestContextEndsBeforeTheRequest: a deadline of ours is an outage, the
// caller's end is the caller's, and in neither case was anything stored.
func TestContextEndsBeforeTheRequest(t *testing.T) {
	silent := "https://" + listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := newTestClient(t, func(c *Config) {
		c.Host, c.HTTPClient, c.Timeout = silent, &http.Client{Transport: transport}, 100*time.Millisecond
	})
	if err := client.Send(t.Context(), valid); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("our deadline: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := client.Send(ctx, valid); errors.Is(err, ErrAmbiguous) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "nothing was stored") {
		t.Errorf("the caller's deadline: %v", err)
	}
}

// TestSentRequestsAreAmbiguous: from the moment that a request is under way
// nobody knows.
func TestSentRequestsAreAmbiguous(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 != http2 {
				t.Errorf("the request came by %s", r.Proto)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		}))
		server.EnableHTTP2 = http2
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		client := newTestClient(t, func(c *Config) { c.Host, c.HTTPClient = server.URL, server.Client() })
		for range 2 {
			if err := client.Send(t.Context(), valid); !errors.Is(err, ErrAmbiguous) || errors.Is(err, ErrUnreachable) {
				t.Errorf("HTTP/2 %t: %v", http2, err)
			}
		}
		server.Close()
	}
}

// transportFunc is a RoundTripper.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func clientOver(t *testing.T, transport transportFunc) *Client {
	return newTestClient(t, func(c *Config) { c.HTTPClient = &http.Client{Transport: transport} })
}

// TestTransportsThatBreakTheirContract: the process goes on.
func TestTransportsThatBreakTheirContract(t *testing.T) {
	for name, transport := range map[string]transportFunc{
		"nothing":       func(*http.Request) (*http.Response, error) { return nil, nil },
		"200, no body":  func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200}, nil },
		"500, no body":  func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 500}, nil },
		"0, no body":    func(*http.Request) (*http.Response, error) { return &http.Response{}, nil },
		"body, nothing": func(*http.Request) (*http.Response, error) { return &http.Response{Body: http.NoBody}, nil },
	} {
		client := clientOver(t, transport)
		for call, err := range map[string]error{"Send": client.Send(t.Context(), valid), "Check": client.Check(t.Context())} {
			if !errors.Is(err, ErrUnexpectedAnswer) {
				t.Errorf("%s, %s: %v", name, call, err)
			}
			if !strings.HasPrefix(name, "body") && !strings.Contains(fmt.Sprint(err), "RoundTrip") {
				t.Errorf("%s, %s: does not say what to correct: %v", name, call, err)
			}
		}
		for _, err := range client.Logs(t.Context(), "token", LogsQuery{}) {
			if !errors.Is(err, ErrUnexpectedAnswer) {
				t.Errorf("%s, Logs: %v", name, err)
			}
		}
	}
}

// TestRetryingTransport: the last try had no connection, the one before had.
func TestRetryingTransport(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	client := clientOver(t, func(r *http.Request) (*http.Response, error) {
		for range 2 {
			body, err := r.GetBody()
			if err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(io.Discard, body)
		}
		return nil, refused
	})
	if err := client.Send(t.Context(), valid); !errors.Is(err, ErrAmbiguous) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}

// TestNothingIsSentAfterwards: a transport that goes on when it has returned
// finds no body, or the error would have lied.
func TestNothingIsSentAfterwards(t *testing.T) {
	var late *http.Request
	client := clientOver(t, func(r *http.Request) (*http.Response, error) {
		late = r
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	})
	unreachable(t, client.Send(t.Context(), valid), "refused")
	again, err := late.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []io.Reader{late.Body, again} {
		if n, err := body.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errRevoked) {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if n, err := io.Copy(io.Discard, body); n != 0 || !errors.Is(err, errRevoked) {
			t.Errorf("copied %d bytes, %v", n, err)
		}
	}
}
