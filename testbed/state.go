package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// State is what the testbed remembers between runs.
type State struct {
	Registry  string             `json:"registry,omitempty"`  // loopback registry, host:port; kept when it stops, so that the port stays
	BaseImage string             `json:"baseImage,omitempty"` // reference of a Debian base that can be pulled
	Mirror    bool               `json:"mirror,omitempty"`    // the registry stands in for docker.io
	Tools     string             `json:"tools,omitempty"`     // directory of links to the tools in use
	Plugins   string             `json:"plugins,omitempty"`   // directory with docker-buildx
	Docker    string             `json:"docker,omitempty"`    // docker CLI in use
	Engine    string             `json:"engine,omitempty"`    // DOCKER_HOST of the user's engine or of ours
	OldEngine string             `json:"oldEngine,omitempty"` // DOCKER_HOST of the second, old engine
	Podman    string             `json:"podman,omitempty"`    // command that runs podman
	Processes map[string]Process `json:"processes,omitempty"` // what was started and must be stopped
	HostDirs  []string           `json:"hostDirs,omitempty"`  // made by the engines outside of their own directories
	Bridge    *Bridge            `json:"bridge,omitempty"`    // what was set up in the host's network
}

func readState(path string) (State, error) {
	s := State{Processes: map[string]Process{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("reading the testbed's state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("reading the testbed's state %s: %w", path, err)
	}
	if s.Processes == nil {
		s.Processes = map[string]Process{}
	}
	return s, nil
}

func (b *Bed) save() error {
	data, err := json.MarshalIndent(b.State, "", "  ")
	if err != nil {
		return fmt.Errorf("saving the testbed's state: %w", err)
	}
	if err := writeFile(b.stateFile(), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("saving the testbed's state: %w", err)
	}
	return nil
}
