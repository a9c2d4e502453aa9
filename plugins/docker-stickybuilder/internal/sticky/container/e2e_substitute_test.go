package container

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	buildkit "github.com/moby/buildkit/client"
	"github.com/moby/moby/client"
)

// What buildx does to an engine besides creating a container goes through as it is: requests,
// and connections that become something else, such as those to the engine's own BuildKit by
// which it verifies images.
func TestSubstitutePassesOn(t *testing.T) {
	host := os.Getenv("DOCKERFACTORY_DOCKER_HOST")
	if host == "" {
		if os.Getenv("DOCKERFACTORY_E2E") == "1" {
			t.Fatal("DOCKERFACTORY_DOCKER_HOST is not set")
		}
		t.Skip("no engine")
	}
	engine, err := Connect(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- engine.Substitute(ctx, listener, "node0", "volume") }()

	api, err := client.New(client.WithHost("unix://" + socket))
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	if _, err := api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		t.Fatal(err)
	}
	inner, err := buildkit.New(ctx, "", buildkit.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return api.DialHijack(ctx, "/grpc", "h2c", nil)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if workers, err := inner.ListWorkers(ctx); err != nil || len(workers) == 0 {
		t.Errorf("the engine's own BuildKit: %v, %v", workers, err)
	}
	inner.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}
