package testbed

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const registryConfig = `version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: %s
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: %s
`

// startRegistry brings up the loopback registry, on the port that it had before
// if that one is still free.
func (b *Bed) startRegistry(ctx context.Context, binary string) error {
	if b.State.Registry != "" && b.alive(ctx, "registry", answersAs(b.State.Registry)) {
		return nil
	}
	if err := b.stop("registry", "a registry that does not answer", 5*time.Second); err != nil {
		return err
	}
	addr, err := freeAddr(ctx, b.State.Registry)
	if err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	if old := b.State.Registry; old != "" && old != addr {
		b.Log.Say("the registry moves to %s: something else listens on %s", addr, old)
	}
	b.State.Registry = addr
	dir := filepath.Join(b.Dirs.State, "registry")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf(registryConfig, filepath.Join(dir, "data"), addr)
	if err := writeFile(config, []byte(text), 0o644); err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	return b.start(ctx, daemon{
		name:  "registry",
		what:  "the registry on " + addr,
		argv:  []string{binary, "serve", config},
		env:   []string{"OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none"},
		limit: 30 * time.Second,
		ready: answersAs(addr),
	})
}

// freeAddr returns wanted if one can listen on it, otherwise a free loopback
// address that the kernel chooses.
func freeAddr(ctx context.Context, wanted string) (string, error) {
	var lc net.ListenConfig
	if wanted != "" {
		if l, err := lc.Listen(ctx, "tcp", wanted); err == nil {
			return wanted, l.Close()
		}
	}
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// loopback talks to daemons of this machine, past any proxy.
var loopback = &http.Client{Transport: &http.Transport{Proxy: nil}, Timeout: 2 * time.Minute}

// answersAs checks that a registry speaks at addr.
func answersAs(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v2/", nil)
		if err != nil {
			return err
		}
		resp, err := loopback.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("asking %s for its API: %s", addr, resp.Status)
		}
		return nil
	}
}

// publicRegistry reports whether docker.io can be reached from here.
func publicRegistry(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry-1.docker.io/v2/", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized
}
