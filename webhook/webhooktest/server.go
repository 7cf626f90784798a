package webhooktest

import (
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// Server is a [Handler] on a loopback port, or in memory.
type Server struct {
	*Handler
	listener  net.Listener
	http      http.Server
	transport *http.Transport
	serving   sync.WaitGroup // the accepting goroutine
	running   sync.WaitGroup // the requests; closing guards it against Close
	closing   sync.Mutex
	isClosed  bool
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
	s.http.Handler = http.HandlerFunc(s.serve)
	s.http.ErrorLog = log.New(io.Discard, "", 0)
	s.serving.Go(func() { _ = s.http.Serve(s.listener) })
	return s
}

// serve counts the requests that run, so that Close can wait for them.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.closing.Lock()
	if s.isClosed {
		s.closing.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.running.Add(1)
	s.closing.Unlock()
	defer s.running.Done()
	s.ServeHTTP(w, r)
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
func (s *Server) BaseURL() string { return "http://" + s.Host() }

// Host is the server's address with its port.
func (s *Server) Host() string { return s.listener.Addr().String() }

// Transport reaches the server, also one in memory. It has no proxy. Close
// closes its idle connections.
func (s *Server) Transport() http.RoundTripper { return s.transport }

// Client is a client over [Server.Transport]. Each call returns a new one.
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.transport} }

// Close breaks all connections, ends what a fault holds, and returns when no
// request is running any more. It may be called more than once.
func (s *Server) Close() {
	s.closing.Lock()
	if !s.isClosed {
		s.isClosed = true
		close(s.closed)
	}
	s.closing.Unlock()
	_ = s.http.Close()
	s.transport.CloseIdleConnections()
	s.running.Wait()
	s.serving.Wait()
}
