package builderstore

import (
	"crypto/sha256"
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
	Endpoint  string   // the socket of its own daemon, which also tells whose the builder is
	Platforms []string // that the node is said to have; nil for what the daemon says

	Container *Container // nil for the remote driver
	Remote    *Remote    // nil for a daemon of its own
}

// Remote is what the remote driver needs for somebody else's daemon.
type Remote struct {
	Address string
	Options map[string]string // such as "cacert"
}

// Container is what the docker-container driver needs.
type Container struct {
	Engine  string            // address of the engine, or the name of a docker context
	Node    string            // name of the node; "" for the builder's only one
	Options map[string]string // of the driver, such as "image"
	Flags   []string          // of buildkitd
	Config  string            // path of the buildkitd.toml; certificates that it names are taken along
}

// Node is the name of a builder's only node.
func Node(builder string) string { return builder + "0" }

// remoteNode is the name of a builder's only node if its daemon is somebody else's. The
// daemon's address may be that of the user's own builders, too, and the remote driver
// takes no options of others; so this name tells whose the builder is.
func remoteNode(builder, endpoint string) string {
	sum := sha256.Sum256([]byte(endpoint))
	return fmt.Sprintf("%s-%x", Node(builder), sum[:4])
}

func (e Entry) node() string {
	if e.Remote != nil {
		return remoteNode(e.Name, e.Endpoint)
	}
	if e.Container != nil && e.Container.Node != "" {
		return e.Container.Node
	}
	return Node(e.Name)
}

func (e Entry) group() (*store.NodeGroup, error) {
	platforms, err := platformutil.Parse(e.Platforms)
	if err != nil {
		return nil, err
	}
	if e.Remote != nil {
		return &store.NodeGroup{Name: e.Name, Driver: remote, Nodes: []store.Node{{
			Name: e.node(), Endpoint: e.Remote.Address, Platforms: platforms, DriverOpts: e.Remote.Options,
		}}}, nil
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
		Name: e.node(), Endpoint: e.Container.Engine, Platforms: platforms,
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
		return n.Endpoint == endpoint || n.Name == remoteNode(g.Name, endpoint)
	case dockerContainer:
		return n.DriverOpts["env."+container.Owner] == endpoint
	}
	return false
}
