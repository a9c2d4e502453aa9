package ocidisk_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disktest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
)

// The same suite on the testbed's registry, which is another program: what it does with
// uploads, tags and their lists is not what the one in the other tests does.
func TestConformanceOnTheTestbed(t *testing.T) {
	host := os.Getenv("DOCKERFACTORY_REGISTRY")
	if host == "" {
		if os.Getenv("DOCKERFACTORY_E2E") == "1" {
			t.Fatal("DOCKERFACTORY_REGISTRY is not set")
		}
		t.Skip("DOCKERFACTORY_REGISTRY is not set")
	}
	needRoot(t)
	type place struct{ dir, repository string }
	places := map[*testing.T]place{}
	disktest.Run(t, func(t *testing.T, keep int) sticky.Disk {
		p, ok := places[t]
		if !ok {
			p = place{t.TempDir(), fmt.Sprintf("%s/e2e/conformance-%d-%d", host, time.Now().UnixNano(), len(places))}
			places[t] = p
		}
		return openAt(t, p.repository, ocidisk.Options{
			Dir: p.dir, Keep: keep, Now: time.Now, Contend: 50 * time.Millisecond, Fresh: time.Nanosecond, Registry: registry.Options{Backoff: 10 * time.Millisecond},
		})
	})
}
