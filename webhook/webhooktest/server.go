package webhooktest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// Server is a [Handler] on a loopback port, or in memory.
type Server struct {
	*Handler
	listener    net.Listener
	http        http.Server
	transport   *http.Transport
	accepting   sync.WaitGroup
	connections sync.WaitGroup
	cancel      context.CancelFunc // ends what is held
}

// NewServer starts a stand-in. It panics if it cannot listen or the config is
// impossible, as net/http/httptest does. Close it when done.
func NewServer(config Config) *Server {
	s := &Server{Handler: NewHandler(config), transport: &http.Transport{}}
	if config.InMemory {
		pipes := newPipeListener()
		s.listener, s.transport.DialContext = pipes, pipes.dial
	} else {
		s.listener = listenLoopback()
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	s.http.Handler = s.Handler
	s.http.ConnState = s.count
	s.http.ErrorLog = log.New(io.Discard, "", 0)
	s.accepting.Go(func() { _ = s.http.Serve(s.listener) })
	return s
}

// count keeps the number of connections, so that Close can wait for them.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.connections.Add(1)
	case http.StateHijacked, http.StateClosed:
		s.connections.Done()
	}
}

func listenLoopback() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // listening on a loopback port does not block
	if err != nil {
		l, err = net.Listen("tcp", "[::1]:0") //nolint:noctx // as above
	}
	if err != nil {
		panic("webhooktest: cannot listen on a loopback port: " + err.Error())
	}
	return l
}

// URL is the endpoint's URL, as one copies it from Sentry's settings page.
func (s *Server) URL() string { return s.BaseURL() + s.Path() }

// LogsURL is the URL that the log is read under.
func (s *Server) LogsURL() string { return s.BaseURL() + s.LogsPath() }

// BaseURL is the server's origin, without a slash at its end.
func (s *Server) BaseURL() string { return "http://" + s.listener.Addr().String() }

// Transport reaches the server, also one in memory. It has no proxy. Close
// closes its idle connections.
func (s *Server) Transport() http.RoundTripper { return s.transport }

// Client is a client over [Server.Transport]. Each call returns a new one.
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.transport} }

// Close breaks all connections, ends what a fault holds, and returns when
// nothing runs any more. It may be called more than once.
func (s *Server) Close() {
	s.cancel()
	_ = s.http.Close()
	s.transport.CloseIdleConnections()
	s.accepting.Wait() // from here on no connection is added
	s.connections.Wait()
}

// pipeListener accepts connections that never leave the process.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr passes for a loopback address, so that senders which insist on https
// elsewhere take it.
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "127.0.0.1:80" }
