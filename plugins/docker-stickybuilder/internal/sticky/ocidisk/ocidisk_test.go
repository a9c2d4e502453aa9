package ocidisk_test

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disktest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
)

// The suite passes over what a disk does not offer. This one offers all of it.
var _ interface {
	sticky.Shelf
	Generations(context.Context, disk.Lineage) ([]string, error)
} = (*ocidisk.Disk)(nil)

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("disks are root's")
	}
}

func open(t testing.TB, host, dir string, change func(*ocidisk.Options)) *ocidisk.Disk {
	t.Helper()
	o := ocidisk.Options{Dir: dir, Now: time.Now, Contend: 50 * time.Millisecond, Fresh: time.Nanosecond, Registry: registry.Options{Backoff: time.Millisecond, Tries: 4}}
	if change != nil {
		change(&o)
	}
	return openAt(t, host+"/team/disks", o)
}

func openAt(t testing.TB, repository string, o ocidisk.Options) *ocidisk.Disk {
	t.Helper()
	d, err := ocidisk.Open(repository, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	needRoot(t)
	dirs := map[*testing.T]string{}
	hosts := map[*testing.T]string{}
	disktest.Run(t, func(t *testing.T, keep int) sticky.Disk {
		if dirs[t] == "" {
			s := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
			t.Cleanup(s.Close)
			dirs[t], hosts[t] = t.TempDir(), strings.TrimPrefix(s.URL, "http://")
		}
		return open(t, hosts[t], dirs[t], func(o *ocidisk.Options) { o.Keep = keep })
	})
}
