//go:build unix && !solaris && !aix

package flagdfile

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestWhatIsNoFileForAMoment has a pipe and a folder in the file's place. Neither
// holds up the toggler nor ends the switch: the file may come back.
func TestWhatIsNoFileForAMoment(t *testing.T) {
	for name, inPlace := range map[string]func(path string) error{
		"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, sample)
			toggler := newToggler(t, path)
			if err := errors.Join(os.Rename(path, path+".away"), inPlace(path)); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := toggler.Toggle(t.Context(), to("new-checkout", false))
				ended <- errors.Join(err, toggler.Check(t.Context(), to("new-checkout", false).Target))
			}()
			select {
			case err := <-ended:
				if !errors.Is(err, ErrMalformed) || isFinal(err) {
					t.Error(err)
				}
			case <-time.After(2 * time.Minute):
				t.Fatal("it waits for the other end of the pipe")
			}
			if err := errors.Join(os.Remove(path), os.Rename(path+".away", path)); err != nil {
				t.Fatal(err)
			}
			if _, err := toggler.Toggle(t.Context(), to("new-checkout", false)); err != nil {
				t.Error(err)
			}
		})
	}
}
