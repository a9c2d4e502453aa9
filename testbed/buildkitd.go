package testbed

import (
	"fmt"
	"path/filepath"
	"strings"
)

// buildkitdConfig returns a buildkitd.toml for the registry at addr, which is
// plain HTTP, and which answers for docker.io where mirror is set.
func buildkitdConfig(addr string, mirror bool) string {
	var s strings.Builder
	if mirror {
		fmt.Fprintf(&s, "[registry.\"docker.io\"]\n  mirrors = [%q]\n\n", addr)
	}
	fmt.Fprintf(&s, "[registry.%q]\n  http = true\n", addr)
	return s.String()
}

func (d Dirs) buildkitdConfigFile() string { return filepath.Join(d.State, "buildkitd.toml") }

func (b *Bed) writeBuildkitdConfig() error {
	text := buildkitdConfig(b.State.Registry, b.State.Mirror)
	if err := writeFile(b.buildkitdConfigFile(), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing buildkitd's configuration: %w", err)
	}
	return nil
}
