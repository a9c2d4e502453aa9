package measure

import (
	"path/filepath"
	"testing"
	"time"
)

func TestBusy(t *testing.T) {
	before, n := Busy()
	d, err := StartDaemon(t.Context(), Command{Argv: []string{"sh", "-c", "while :; do :; done"}}, filepath.Join(t.TempDir(), "log"), func() bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	for deadline := time.Now().Add(20 * time.Second); d.CPU() < 5*tick; time.Sleep(tick) {
		if time.Now().After(deadline) {
			t.Fatalf("a busy program has used %s", d.CPU())
		}
	}
	after, _ := Busy()
	if n < 1 || after-before < 4*tick {
		t.Errorf("%d processors were busy for %s", n, after-before)
	}
}
