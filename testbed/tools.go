package testbed

import (
	"path"
	"slices"
)

// A tool is one program that is built from a module below testbed/tools.
type tool struct {
	name    string   // of the binary
	module  string   // directory below testbed/tools
	pkg     string   // package to build
	from    string   // module whose version it has
	stamp   []string // variables that hold the version
	bare    bool     // the version is stamped without its leading "v"
	gcflags string
}

// built is the name that go build gives the binary.
func (t tool) built() string {
	if t.pkg == "." { // of a module of our own, which is named after it
		return t.name
	}
	return path.Base(t.pkg)
}

// tools lists what can be built. Versions stand in the modules' go.mod alone.
var tools = []tool{
	{
		name: "buildkitd", module: "buildkit", pkg: "github.com/moby/buildkit/cmd/buildkitd",
		from: "github.com/moby/buildkit", stamp: []string{"github.com/moby/buildkit/version.Version"},
	},
	{
		name: "buildctl", module: "buildkit", pkg: "github.com/moby/buildkit/cmd/buildctl",
		from: "github.com/moby/buildkit", stamp: []string{"github.com/moby/buildkit/version.Version"},
	},
	{
		name: "buildx", module: "buildkit", pkg: "github.com/docker/buildx/cmd/buildx",
		from: "github.com/docker/buildx", stamp: []string{"github.com/docker/buildx/version.Version"},
	},
	{
		name: "compose", module: "compose", pkg: "github.com/docker/compose/v2/cmd",
		from: "github.com/docker/compose/v2", stamp: []string{"github.com/docker/compose/v2/internal.Version"},
	},
	{
		name: "registry", module: "registry", pkg: ".",
		from: "github.com/distribution/distribution/v3", stamp: []string{"github.com/distribution/distribution/v3/version.version"},
	},
	{
		name: "crane", module: "crane", pkg: "github.com/google/go-containerregistry/cmd/crane",
		from: "github.com/google/go-containerregistry", stamp: []string{"github.com/google/go-containerregistry/cmd/crane/cmd.Version"},
	},
	{
		name: "regctl", module: "regctl", pkg: "github.com/regclient/regclient/cmd/regctl",
		from: "github.com/regclient/regclient", stamp: []string{"github.com/regclient/regclient/internal/version.vcsTag"},
	},
	{
		name: "oras", module: "oras", pkg: "oras.land/oras/cmd/oras",
		from: "oras.land/oras", stamp: []string{"oras.land/oras/internal/version.Version"}, bare: true,
	},
	{
		name: "cosign", module: "cosign", pkg: "github.com/sigstore/cosign/v3/cmd/cosign",
		from: "github.com/sigstore/cosign/v3", stamp: []string{"sigs.k8s.io/release-utils/version.gitVersion"},
	},
	{
		name: "golangci-lint", module: "golangci", pkg: "github.com/golangci/golangci-lint/v2/cmd/golangci-lint",
		from: "github.com/golangci/golangci-lint/v2", stamp: []string{"main.version"}, bare: true,
	},
	// docker/cli has no go.mod, so the compiler would be held to Go 1.16.
	{
		name: "docker", module: "docker", pkg: "github.com/docker/cli/cmd/docker", gcflags: "github.com/docker/cli/cmd/docker=-lang=go1.26",
		from: "github.com/docker/cli", stamp: []string{"github.com/docker/cli/cli/version.Version"}, bare: true,
	},
	{
		name: "dockerd", module: "dockerd", pkg: "github.com/moby/moby/v2/cmd/dockerd",
		from: "github.com/moby/moby/v2", stamp: []string{"github.com/moby/moby/v2/dockerversion.Version"}, bare: true,
	},
	{
		name: "docker-proxy", module: "dockerd", pkg: "github.com/moby/moby/v2/cmd/docker-proxy",
		from: "github.com/moby/moby/v2", stamp: []string{"github.com/moby/moby/v2/dockerversion.Version"}, bare: true,
	},
	{
		name: "containerd", module: "containerd", pkg: "github.com/containerd/containerd/v2/cmd/containerd",
		from: "github.com/containerd/containerd/v2", stamp: []string{"github.com/containerd/containerd/v2/version.Version"},
	},
	{
		name: "containerd-shim-runc-v2", module: "containerd", pkg: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
		from: "github.com/containerd/containerd/v2", stamp: []string{"github.com/containerd/containerd/v2/version.Version"},
	},
	{
		name: "ctr", module: "containerd", pkg: "github.com/containerd/containerd/v2/cmd/ctr",
		from: "github.com/containerd/containerd/v2", stamp: []string{"github.com/containerd/containerd/v2/version.Version"},
	},
}

// Tool names by what they are for.
var (
	demoTools   = []string{"buildkitd", "buildx", "registry"}
	testTools   = []string{"buildkitd", "buildctl", "buildx", "compose", "registry", "crane", "regctl", "oras", "cosign"}
	engineTools = []string{"containerd", "containerd-shim-runc-v2", "ctr", "dockerd", "docker-proxy"}
)

// ToolNames returns the names of all tools that can be built.
func ToolNames() []string {
	var names []string
	for _, t := range tools {
		names = append(names, t.name)
	}
	return names
}

func findTool(name string) (tool, bool) {
	i := slices.IndexFunc(tools, func(t tool) bool { return t.name == name })
	if i < 0 {
		return tool{}, false
	}
	return tools[i], true
}
