package console

import (
	"crypto/hmac"
	"crypto/rand"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/visible"
	"github.com/sentryflags/sentryflags-go/signing"
)

// guard says who gets in.
type guard struct {
	config   Config
	password signing.Secret // empty if the proxy is the only way in
	probe    []byte
	origin   *http.CrossOriginProtection
	attempts attempts
	// cookie is what the cookie with a browser's name is called, and cookies what
	// this process signs it with.
	cookie  string
	cookies signing.Secret
}

func newGuard(config Config) (*guard, error) {
	for i, host := range config.Hosts {
		config.Hosts[i] = canonicalHost(host)
	}
	g := &guard{
		config: config, password: config.Password, origin: http.NewCrossOriginProtection(), probe: []byte(rand.Text()),
		cookie: cookieName(config), cookies: signing.NewSecret(rand.Text()),
	}
	if g.password.IsZero() && config.ProxyHeader == "" {
		var err error
		if g.password, err = config.madeUp(); err != nil {
			return nil, err
		}
	}
	for _, secret := range append(slices.Clone(config.ProxyValues), g.password) {
		if secret.IsZero() {
			continue
		}
		if _, err := signing.Sign(secret, g.probe); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// refusal is why a request is not let in. The zero value lets it in.
type refusal struct {
	status int
	text   string
}

// admit returns who a request is from, or why it is not let in.
func (g *guard) admit(w http.ResponseWriter, r *http.Request) (user string, no refusal) {
	if !slices.Contains(g.config.Hosts, canonicalHost(r.Host)) {
		return "", refusal{http.StatusMisdirectedRequest, "This is not a name by which the console is reached; name it in Hosts if it should be."}
	}
	if err := g.origin.Check(r); err != nil {
		return "", refusal{http.StatusForbidden, "This request comes from another site. Act on the page itself."}
	}
	if user, ok := g.fromProxy(r); ok {
		return user, refusal{}
	}
	if g.password.IsZero() {
		return "", refusal{http.StatusUnauthorized, "Go through the proxy that knows who you are."}
	}
	return g.fromBrowser(w, r)
}

func (g *guard) fromProxy(r *http.Request) (string, bool) {
	values := r.Header.Values(g.config.ProxyHeader)
	if g.config.ProxyHeader == "" || len(values) != 1 {
		return "", false
	}
	right := false
	for _, secret := range g.config.ProxyValues {
		right = g.same(secret, values[0]) || right
	}
	user := ""
	if g.config.ProxyUser != "" {
		user = r.Header.Get(g.config.ProxyUser)
	}
	return userName(user), right
}

func (g *guard) fromBrowser(w http.ResponseWriter, r *http.Request) (string, refusal) {
	user, password, asked := r.BasicAuth()
	if asked {
		from := g.whence(r)
		if wait := g.attempts.wait(from, time.Now()); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			return "", refusal{http.StatusTooManyRequests, "Too many wrong passwords from where you are. Wait a little, use a browser that was in before, or come from another address."}
		}
		if g.same(g.password, password) {
			g.attempts.right(from)
			if from.browser == "" {
				g.name(w, r)
			}
			return userName(user), refusal{}
		}
		counts, shut := g.attempts.wrong(from, g.digest(password), time.Now())
		if counts {
			g.config.Logger.Warn("console: a wrong password", "from", from.address.String())
		}
		if shut {
			g.config.Logger.Warn("console: too many wrong passwords; only browsers that were in before get in from there for a while", "from", from.address.String())
		}
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="console", charset="UTF-8"`)
	return "", refusal{http.StatusUnauthorized, "The password is needed; as the user name give your own."}
}

// whence is where attempts are counted for: an address, or a browser that has given
// the right password before, so that nobody behind the same address, which behind
// a proxy is everybody's, can keep it out.
type whence struct {
	address netip.Addr
	browser string
}

// cookieName is what the cookie is called that holds the name of a browser, and the
// proof that it is one of ours. It lets nobody in. Consoles on other ports of the
// same machine share the browser's cookies, so that each has its own name.
func cookieName(config Config) string {
	what := config.Title
	if config.Inspector != nil {
		what += "\x00" + config.Inspector.Queue()
	}
	return "console_" + causeOf(what)[:8]
}

func (g *guard) whence(r *http.Request) whence {
	from := whence{address: addressOf(r)}
	cookie, err := r.Cookie(g.cookie)
	if err != nil {
		return from
	}
	name, proof, _ := strings.Cut(cookie.Value, ".")
	want, err := signing.Sign(g.cookies, []byte(name))
	if err == nil && name != "" && hmac.Equal([]byte(want), []byte(proof)) {
		return whence{from.address, name}
	}
	return from
}

// name gives a browser that knows the password a name.
func (g *guard) name(w http.ResponseWriter, r *http.Request) {
	name := rand.Text()
	proof, err := signing.Sign(g.cookies, []byte(name))
	if err != nil {
		return // it only is not told apart
	}
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: name + "." + proof, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
}

// same compares by digests under the secrets, in constant time.
func (g *guard) same(secret signing.Secret, text string) bool {
	want, err := signing.Sign(secret, g.probe)
	if err != nil {
		return false
	}
	got, err := signing.Sign(signing.NewSecret(text), g.probe)
	return err == nil && hmac.Equal([]byte(want), []byte(got))
}

// digest tells passwords apart without keeping them.
func (g *guard) digest(password string) string {
	digest, err := signing.Sign(g.cookies, []byte(password))
	if err != nil {
		return ""
	}
	return digest
}

// userName is who is said to act, for logs and Sentry's flag log.
func userName(name string) string {
	name = strings.TrimSpace(visible.Text(visible.Cut(name, 100)))
	if name == "" {
		return "somebody"
	}
	return name
}

// canonicalHost is the host of a Host header, without its port.
func canonicalHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// addressOf is where a request comes from: for IPv6 the network, within which one
// machine can choose.
func addressOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // all that cannot be told apart count as one
	}
	addr := from.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return addr
}

// attempts limits wrong passwords: ten at once from an address or a browser and one each ten
// seconds after that, and a hundred times as many from all together. Whoever has
// given the right one is not kept out by others. The same one again in a row tells
// nobody anything new and is not counted: a script that has the former password
// must not keep out the people behind its address.
type attempts struct {
	mu    sync.Mutex
	from  map[whence]*bucket
	all   bucket
	known map[whence]bool
}

const (
	attemptsAtOnce = 10
	attemptEvery   = 10 * time.Second
	attemptsOfAll  = 100 // times as many
	maxAddresses   = 10_000
)

// bucket fills with wrong attempts, and runs out over time.
type bucket struct {
	level float64
	at    time.Time
	last  string // the digest of the last one
}

func (b *bucket) leak(now time.Time, every time.Duration) {
	b.level = max(0, b.level-float64(now.Sub(b.at))/float64(every))
	b.at = now
}

// wait is how long somebody has to wait for its next attempt.
func (a *attempts) wait(from whence, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.from[from]; b != nil {
		if b.leak(now, attemptEvery); b.level > attemptsAtOnce-1 {
			return time.Duration((b.level - attemptsAtOnce + 1) * float64(attemptEvery))
		}
	}
	if a.known[from] {
		return 0
	}
	if a.all.leak(now, attemptEvery/attemptsOfAll); a.all.level > attemptsAtOnce*attemptsOfAll-1 {
		return attemptEvery
	}
	return 0
}

// wrong counts an attempt with a password of this digest, and says whether it does
// count, and whether there may be no other for now.
func (a *attempts) wrong(from whence, digest string, now time.Time) (counts, shut bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.from[from]
	if b == nil {
		a.forget(now)
		b = &bucket{at: now}
		a.from[from] = b
	}
	if b.last == digest && digest != "" {
		return false, false
	}
	b.last = digest
	a.all.leak(now, attemptEvery/attemptsOfAll)
	a.all.level++
	b.leak(now, attemptEvery)
	b.level++
	return true, b.level > attemptsAtOnce-1
}

func (a *attempts) right(from whence) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.from, from)
	if len(a.known) >= maxAddresses {
		a.known = nil
	}
	if a.known == nil {
		a.known = make(map[whence]bool)
	}
	a.known[from] = true
}

// forget makes room for an address.
func (a *attempts) forget(now time.Time) {
	if a.from == nil {
		a.from = make(map[whence]*bucket)
	}
	if len(a.from) < maxAddresses {
		return
	}
	for from, b := range a.from {
		if b.leak(now, attemptEvery); b.level == 0 {
			delete(a.from, from)
		}
	}
	if len(a.from) >= maxAddresses {
		clear(a.from) // the limit of all together holds
	}
}
