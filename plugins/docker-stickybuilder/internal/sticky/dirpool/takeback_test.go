package dirpool

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Moving the head can fail after its file has been renamed into place, when that is to be
// made permanent. What the head names then stays where it is.
func TestTakeBackLeavesTheHeadAlone(t *testing.T) {
	p, err := Open(filepath.Join(t.TempDir(), "pool"), Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	l := disk.Lineage{Key: "k", Platform: "p"}
	w, lock, err := p.Clone(t.Context(), l, l, disk.NewID(time.Now(), make([]byte, 6)), progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.takeBack(w); err != nil {
		t.Error(err)
	}
	if h, err := p.Head(t.Context(), l); err != nil || h.ID != w.ID {
		t.Errorf("the head names what is not there: %+v, %v", h, err)
	}
}
