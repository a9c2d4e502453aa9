// Package registry starts registries that are a benchmark's own.
package registry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
)

const config = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: %s}
`

// A Registry keeps its images below Dir and speaks plain HTTP on Addr.
type Registry struct {
	Addr, Dir string

	daemon *measure.Daemon
}

// Start starts binary on a free loopback port. What an earlier one left
// in dir is served again.
func Start(ctx context.Context, binary, dir string) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("starting a registry: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return nil, fmt.Errorf("starting a registry: %w", err)
	}
	r := &Registry{Addr: l.Addr().String(), Dir: filepath.Join(dir, "data")}
	l.Close()
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, r.Dir, r.Addr), 0o644); err != nil {
		return nil, fmt.Errorf("starting a registry: %w", err)
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{Proxy: nil}}
	env := append(os.Environ(), "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none")
	r.daemon, err = measure.StartDaemon(ctx, measure.Command{Argv: []string{binary, "serve", file}, Env: env, Dir: "/"},
		filepath.Join(dir, "log"), func() bool {
			resp, err := client.Get("http://" + r.Addr + "/v2/") //nolint:noctx // has a timeout
			if err == nil {
				resp.Body.Close()
			}
			return err == nil
		})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Empty forgets every image, so that the next push has to send all of its blobs.
func (r *Registry) Empty() error {
	if err := os.RemoveAll(filepath.Join(r.Dir, "docker")); err != nil {
		return fmt.Errorf("emptying the registry: %w", err)
	}
	return nil
}

// Stop ends the registry.
func (r *Registry) Stop() { r.daemon.Stop() }
