package display_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/progress"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
)

func TestPlainShowsStepsBytesLogsAndErrors(t *testing.T) {
	var out bytes.Buffer
	d, err := display.New(&out, "plain", "testing")
	if err != nil {
		t.Fatal(err)
	}
	_ = progress.Do(d, "fetch layer", func(s progress.Step) error {
		s.Bytes("sha256:abc", 0, 2_000_000)
		s.Bytes("sha256:abc", 2_000_000, 2_000_000)
		_, _ = s.Write([]byte("hello from the step\n"))
		return nil
	})
	_ = progress.Do(d, "push", func(progress.Step) error { return errors.New("denied") })
	s := d.Step("reuse blob")
	s.Cached()
	s.Done(nil)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fetch layer", "2.00MB / 2.00MB", "hello from the step", "ERROR: denied", "CACHED"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
}

func TestUseAfterCloseIsHarmless(t *testing.T) {
	d, err := display.New(&bytes.Buffer{}, "plain", "testing")
	if err != nil {
		t.Fatal(err)
	}
	s := d.Step("late")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { s.Bytes("x", 1, 2); s.Done(nil); _ = d.Close(); d.Step("later").Done(nil) })
	}
	wg.Wait()
}

func TestUnknownMode(t *testing.T) {
	if _, err := display.New(&bytes.Buffer{}, "fancy", "x"); err == nil {
		t.Error("want an error")
	}
}
