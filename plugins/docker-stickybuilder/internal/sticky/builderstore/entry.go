package builderstore

import (
	"fmt"
	"maps"

	"github.com/docker/buildx/store"
	"github.com/docker/buildx/util/confutil"
	"github.com/docker/buildx/util/platformutil"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
)

// An Entry is a builder with one node, as Register enters it.
type Entry struct {
	Name      string
	Endpoint  string   // the daemon's socket, which also tells whose the builder is
	Platforms []string // that the node is said to have; nil for what the daemon says

	Container *Container // nil for the remote driver
}

// Container is what the docker-container driver needs.
type Container struct {
	Engine  string            // address of the engine
	Options map[string]string // of the driver, such as "image"
	Flags   []string          // of buildkitd
	Config  string            // path of the buildkitd.toml; certificates that it names are taken along
}

// Node is the name of a builder's only node.
func Node(builder string) string { return builder + "0" }

func (e Entry) group() (*store.NodeGroup, error) {
	platforms, err := platformutil.Parse(e.Platforms)
	if err != nil {
		return nil, err
	}
	if e.Container == nil {
		return &store.NodeGroup{Name: e.Name, Driver: remote, Nodes: []store.Node{{Name: Node(e.Name), Endpoint: e.Endpoint, Platforms: platforms}}}, nil
	}
	files, err := confutil.LoadConfigFiles(e.Container.Config)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration for the container: %w", err)
	}
	options := maps.Clone(e.Container.Options)
	if options == nil {
		options = map[string]string{}
	}
	// One that is started again by the engine would go on without a witness.
	options["restart-policy"] = "no"
	options["env."+container.Owner] = e.Endpoint
	return &store.NodeGroup{Name: e.Name, Driver: dockerContainer, Nodes: []store.Node{{
		Name: Node(e.Name), Endpoint: e.Container.Engine, Platforms: platforms,
		DriverOpts: options, BuildkitdFlags: e.Container.Flags, Files: files,
	}}}, nil
}

const (
	remote          = "remote"
	dockerContainer = "docker-container"
)

// ours reports whether a group is the builder with the daemon at endpoint.
func ours(g *store.NodeGroup, endpoint string) bool {
	if len(g.Nodes) != 1 {
		return false
	}
	switch n := g.Nodes[0]; g.Driver {
	case remote:
		return n.Endpoint == endpoint
	case dockerContainer:
		return n.DriverOpts["env."+container.Owner] == endpoint
	}
	return false
}
