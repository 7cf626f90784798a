package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
)

// tab is a tab of a browser, of a certain size.
type tab struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // to chromedp it is the tab
	clicks int

	mu      sync.Mutex
	trouble []string // what the browser has complained about, and dialogs
}

var sizes = map[string][2]int64{"1280": {1280, 900}, "390": {390, 844}}

// onSizes runs a test in both sizes.
func onSizes(t *testing.T, test func(t *testing.T, b *tab)) {
	for _, name := range []string{"1280", "390"} {
		t.Run(name, func(t *testing.T) { test(t, newTab(t, sizes[name])) })
	}
}

func newTab(t *testing.T, size [2]int64, flags ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no chromium")
		}
		t.Skip("there is no chromium")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(options, flags...)...)
	t.Cleanup(cancel)
	b := &tab{t: t}
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as this context
		t.Fatal(err)
	}
	b.ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	call(b, log.Enable, cdp.Empty{})
	var phone []chromedp.EmulateViewportOption
	if size[0] < 500 {
		phone = append(phone, chromedp.EmulateMobile)
	}
	b.do(chromedp.EmulateViewport(size[0], size[1], phone...))
	return b
}

// hear takes down what the browser complains about.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		b.trouble = append(b.trouble, e.Entry.Text)
	case *page.EventJavascriptDialogOpening:
		b.trouble = append(b.trouble, "a dialog: "+e.Message)
	}
}

func call[P, R any](b *tab, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.fatal(err)
	}
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.fatal(err)
	}
}

// eval evaluates an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.fatal(err)
	}
	return value
}

func (b *tab) fatal(err error) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Fatalf("%v; the browser says %q", err, b.trouble)
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.clicks++
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// sees waits until the page shows a text.
func (b *tab) sees(text string) {
	b.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		// Between two pages there is none to ask.
		shown, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
		if err == nil && strings.Contains(shown, text) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the page does not show %q, but %v (trouble: %q)\n%s", text, err, b.trouble, shown)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// fits fails if one has to scroll sideways.
func (b *tab) fits() {
	b.t.Helper()
	if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		b.t.Errorf("the page is %d pixels too wide", over)
	}
}

// calm fails if the browser has complained: about the policy, say.
func (b *tab) calm() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.trouble) > 0 {
		b.t.Errorf("the browser says %q", b.trouble)
	}
}

// types types over what a field has.
func (b *tab) types(selector, text string) {
	b.t.Helper()
	b.do(chromedp.Focus(chromedp.CSS(selector)), chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`), chromedp.KeyEvent(text))
}

// correct corrects the name of the refused flag, from the page on.
func (b *tab) correct(to string) {
	b.t.Helper()
	b.click(`a[href^="letter?do=correct"]`)
	b.do(chromedp.WaitVisible(chromedp.CSS("#flag")))
	b.fits()
	b.types("#flag", to)
	b.click("#do")
	b.sees("Deliver this to Sentry?")
	b.fits()
	b.click("#do")
	b.sees("The corrected change is on its way to Sentry.")
}

func TestCorrect(t *testing.T) {
	onSizes(t, func(t *testing.T, b *tab) {
		s := newStage(t)
		s.fill()
		b.do(chromedp.Navigate(s.url()))
		b.sees("Ensure this field has no more than 100 characters.")
		b.fits()
		before := len(s.sentry.Changes())
		b.correct("checkout.express-payment")
		b.sees("Sentry has refused nothing.")
		b.sees("checkout.express-payment")
		b.fits()
		b.calm()
		got := s.sentry.Changes()
		if len(got) != before+1 || got[before].Flag != "checkout.express-payment" || got[before].CreatedBy.ID != "grace@example.com" {
			t.Errorf("Sentry has %d more changes", len(got)-before)
		}
		t.Logf("console: refused flag of 150 characters, from the alarm to delivered: clicks=%d", b.clicks)
		if b.clicks > 4 {
			t.Errorf("%d clicks", b.clicks)
		}
	})
}

func TestRefusedCorrection(t *testing.T) {
	s := newStage(t)
	s.fill()
	b := newTab(t, sizes["390"])
	b.do(chromedp.Navigate(s.url()))
	b.click(`a[href^="letter?do=correct"]`)
	b.types("#author", "\b")
	b.click("#do")
	b.sees("CreatedBy.ID must not be empty")
	b.fits()
	if flag := eval[string](b, `document.getElementById("flag").value`); flag != longFlag {
		t.Errorf("what was typed is lost: %q", flag)
	}
}

func TestReplayAndDiscard(t *testing.T) {
	s := newStage(t)
	s.emit(change(webhook.ActionUpdated, longFlag, "ada@example.com"))
	b := newTab(t, sizes["390"])
	b.do(chromedp.Navigate(s.url()))
	b.click(`a[href^="letter?do=replay"]`)
	b.sees("Send this change again as it is?")
	b.fits()
	b.click("#do")
	b.sees("The change is on its way to Sentry again.")
	b.sees("Ensure this field has no more than 100 characters.")
	b.click(`a[href^="letter?do=discard"]`)
	b.sees("Discard this change?")
	b.click("#do")
	b.sees("The change is discarded")
	b.sees("Sentry has refused nothing.")
	b.calm()
}

func TestRestore(t *testing.T) {
	onSizes(t, func(t *testing.T, b *tab) {
		s := newStage(t)
		s.fill()
		b.do(chromedp.Navigate(s.url()))
		b.click(`a[href^="flag?"]`)
		b.sees("Restore this flag?")
		b.fits()
		b.click("#do")
		b.sees("The flag is as it was")
		b.sees("Nothing is switched off.")
		b.calm()
		if want := []string{"vwo:production/express-payment by ada"}; !slices.Equal(s.switches.restored, want) {
			t.Errorf("restored %q, want %q", s.switches.restored, want)
		}
		t.Logf("console: restore: clicks=%d", b.clicks)
	})
}

func TestWithoutJavaScript(t *testing.T) {
	onSizes(t, func(t *testing.T, b *tab) {
		s := newStage(t)
		s.fill()
		call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		b.do(chromedp.Navigate(s.url()))
		b.correct("checkout.express-payment")
		b.do(chromedp.WaitNotVisible(chromedp.CSS("#refreshing")))
		b.click(`a[href^="flag?"]`)
		b.click("#do")
		b.sees("The flag is as it was")
		if len(s.switches.restored) != 1 {
			t.Error("not restored")
		}
	})
}

// TestByKeyboard goes through the page without a mouse.
func TestByKeyboard(t *testing.T) {
	s := newStage(t)
	s.fill()
	b := newTab(t, sizes["1280"])
	b.do(chromedp.Navigate(s.url()))
	b.tabTo("Correct")
	b.do(chromedp.KeyEvent("\r"))
	b.sees("Correct a change")
	b.tabTo("textarea")
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`), chromedp.KeyEvent("express-payment"))
	b.tabTo("Check")
	b.do(chromedp.KeyEvent("\r"))
	b.sees("Deliver this to Sentry?")
	b.tabTo("Deliver")
	b.do(chromedp.KeyEvent("\r"))
	b.sees("The corrected change is on its way to Sentry.")
}

// tabTo presses the tab key until the element with this text or name has the
// focus, and looks that one can see that it has.
func (b *tab) tabTo(want string) {
	b.t.Helper()
	for range 60 {
		b.do(chromedp.KeyEvent("\t"))
		at := eval[struct{ Text, Outline string }](b, `(() => {
			const e = document.activeElement, style = getComputedStyle(e);
			return {Text: e.tagName === "TEXTAREA" ? "textarea" : e.textContent.trim(), Outline: style.outlineStyle};
		})()`)
		if at.Text == want {
			if at.Outline == "none" {
				b.t.Errorf("%q has the focus, and nothing shows it", want)
			}
			return
		}
	}
	b.t.Fatalf("%q cannot be reached by the tab key", want)
}

func TestRefreshesItself(t *testing.T) {
	s := newStage(t)
	s.fill()
	b := newTab(t, sizes["1280"])
	b.do(chromedp.Navigate(s.url()), chromedp.WaitVisible(chromedp.CSS("#refreshing")))
	b.do(chromedp.Evaluate[chromedp.Void](`window.marked = true; document.querySelector('a[href^="letter?do=replay"]').focus()`))
	s.emit(change(webhook.ActionUpdated, "appears-by-itself", "ada@example.com"))
	b.sees("appears-by-itself")
	state := eval[struct {
		Marked bool
		Focus  string
	}](b, `({Marked: window.marked === true, Focus: document.activeElement.textContent})`)
	if !state.Marked || state.Focus != "Replay" {
		t.Errorf("%+v: the page was loaded anew, or the focus is lost", state)
	}
	b.click("#refreshing")
	b.sees("Does not refresh")
	b.calm()
}

// TestManyAtOnce sends all of one reason again, and discards what comes back.
func TestManyAtOnce(t *testing.T) {
	onSizes(t, func(t *testing.T, b *tab) {
		s := newStage(t)
		for i := range 30 {
			s.emit(change(webhook.ActionUpdated, fmt.Sprintf("%s-%02d", longFlag, i), "grace@example.com"))
		}
		b.do(chromedp.Navigate(s.url()))
		b.click(`a[href^="letters?do=replay"]`)
		b.sees("Send 30 changes again as they are?")
		b.fits()
		b.click("#do")
		b.sees("30 changes are on their way to Sentry again.")
		b.sees("Nothing waits, 30 refused")
		b.fits()
		b.click(`a[href^="letters?do=discard"]`)
		b.sees("Discard 30 changes?")
		b.click("#do")
		b.sees("30 changes are discarded")
		b.sees("Sentry has refused nothing.")
		b.calm()
	})
}

// TestOldPicture ends the program, and lets it hang, under the eyes of somebody who
// looks at the page: what was must not pass for what is.
func TestOldPicture(t *testing.T) {
	for what, spoil := range map[string]func(*stage){
		"ended": func(s *stage) { s.stop() },
		"hangs": func(s *stage) { s.hangs.Store(true) },
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			s.fill()
			b := newTab(t, sizes["390"])
			b.do(chromedp.Navigate(s.url()), chromedp.WaitVisible(chromedp.CSS("#refreshing")), chromedp.WaitNotVisible(chromedp.CSS("#stale")))
			spoil(s)
			b.sees("This is how it was at")
			b.sees("The program does not answer.")
			b.sees("Cannot refresh")
			b.fits()
			if what == "hangs" {
				s.hangs.Store(false)
				b.do(chromedp.WaitNotVisible(chromedp.CSS("#stale")))
				b.sees("Refreshes itself")
			}
		})
	}
}

// TestStoreFails keeps saying so when the page refreshes itself.
func TestStoreFails(t *testing.T) {
	s := newStage(t)
	s.fill()
	b := newTab(t, sizes["390"])
	b.do(chromedp.Navigate(s.url()), chromedp.WaitVisible(chromedp.CSS("#refreshing")))
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	b.sees("The store does not answer")
	b.fits()
}

// TestHostileNames lets names try to become a part of the page.
func TestHostileNames(t *testing.T) {
	s := newStage(t)
	for _, name := range []string{
		`<script>window.hit=1</script>`, `"><img src=x onerror="window.hit=1">`, `' autofocus onfocus='window.hit=1`, `</textarea><script>window.hit=1</script>`,
		`</style><script>window.hit=1</script>`, `javascript:window.hit=1`, `--><svg onload=window.hit=1>`,
	} {
		long := name + strings.Repeat("x", 120)
		s.emit(change(webhook.ActionUpdated, name, name[:min(len(name), 100)]), change(webhook.ActionUpdated, long, name[:min(len(name), 100)]))
		s.switches.add(console.SwitchedOff{Target: name, Flag: name, Alert: name, Since: time.Now()})
		s.decisions.Add(name, name)
	}
	b := newTab(t, sizes["390"])
	b.do(chromedp.Navigate(s.url()))
	b.sees("onerror")
	visit := []string{`a[href^="letter?do=correct"]`, `a[href*="do=replay"]`, `a[href*="do=discard"]`, `a[href^="flag?"]`, `td a`}
	for _, selector := range visit {
		n := eval[int](b, `document.querySelectorAll('`+selector+`').length`)
		if n < 7 {
			t.Fatalf("%d of %s", n, selector)
		}
		for i := range n {
			href := eval[string](b, fmt.Sprintf(`document.querySelectorAll('%s')[%d].href`, selector, i))
			b.do(chromedp.Navigate(href), chromedp.WaitReady(chromedp.CSS("#live")))
			if eval[bool](b, `window.hit === 1`) {
				t.Fatal("a name has run")
			}
			b.fits()
			b.do(chromedp.Navigate(s.url()))
		}
	}
	b.calm()
}

// TestForeignSites lets other sites try to act in the name of who is logged in.
func TestForeignSites(t *testing.T) {
	s := newStage(t)
	s.fill()
	b := newTab(t, sizes["1280"], chromedp.Flag("host-resolver-rules", "MAP evil.example 127.0.0.1"))
	b.do(chromedp.Navigate(s.url()))
	b.sees("Dead letters")
	port := s.address[strings.LastIndexByte(s.address, ':'):]

	// A name of theirs that leads here.
	b.do(chromedp.Navigate("http://ada:" + password + "@evil.example" + port + "/console/"))
	b.sees("This is not a name by which the console is reached")

	// A form of theirs that is sent here.
	b.do(chromedp.Navigate("about:blank"), chromedp.Evaluate[chromedp.Void](`(() => {
		const f = document.createElement("form");
		f.method = "post"; f.action = "http://`+s.address+`/console/flag";
		for (const [k, v] of [["target", "vwo:production/express-payment"], ["confirm", "yes"]]) {
			const i = document.createElement("input"); i.name = k; i.value = v; f.append(i);
		}
		document.body.append(f); setTimeout(() => f.submit(), 0);
	})()`))
	b.sees("This request comes from another site.")
	if len(s.switches.restored) > 0 {
		t.Errorf("restored %q", s.switches.restored)
	}
}

// TestScreenshot takes the picture of the README, into the file that the
// environment names.
func TestScreenshot(t *testing.T) {
	for name, size := range map[string][2]int64{"": {1280, 1180}, "-phone": {390, 844}} {
		for _, scheme := range []string{"light", "dark"} {
			s := newStage(t)
			s.fill()
			b := newTab(t, size)
			call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			b.do(chromedp.Navigate(s.url()), chromedp.WaitVisible(chromedp.CSS("#refreshing")))
			picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			if err != nil {
				b.fatal(err)
			}
			if len(picture) < 10_000 {
				t.Errorf("%d bytes of a picture", len(picture))
			}
			folder := os.Getenv("SENTRYFLAGS_SCREENSHOTS")
			if folder == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(folder, "console"+name+"-"+scheme+".png"), picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
