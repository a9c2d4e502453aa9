package cmd

import (
	"fmt"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/shared/buildkit"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// reach finds an engine as docker buildx does: by the name of a docker context, with its
// certificates, or else by an address. The supervisor does so long after the command.
func reach(address string) ([]client.Opt, error) {
	endpoint := docker.Endpoint{EndpointMeta: docker.EndpointMeta{Host: address}}
	contexts := store.New(config.ContextStoreDir(), command.DefaultContextStoreConfig())
	switch meta, err := contexts.GetMetadata(address); {
	case err == nil:
		m, err := docker.EndpointFromContext(meta)
		if err != nil {
			return nil, err
		}
		if endpoint, err = docker.WithTLSData(contexts, address, m); err != nil {
			return nil, err
		}
	case !cerrdefs.IsNotFound(err):
		return nil, err
	case !strings.Contains(address, "://"):
		return nil, fault.Hint(fmt.Errorf("there is no docker context %s any more", address), "make it again: docker context create %s", address)
	}
	return endpoint.ClientOpts()
}

// engineName is by what docker buildx finds the engine of the current docker context.
func engineName(dockerCLI command.Cli) (string, error) {
	name, err := buildkit.CurrentKey(dockerCLI)
	if err != nil {
		return "", err
	}
	if dockerCLI.CurrentContext() == command.DefaultContextName && dockerCLI.DockerEndpoint().TLSData != nil && !strings.HasPrefix(name, "unix://") {
		return "", fault.Hint(fmt.Errorf("using the docker engine at %s: docker buildx does not take certificates from the environment", name),
			"make a docker context of it: docker context create build1 --docker host=%s,ca=…,cert=…,key=…; docker context use build1", name)
	}
	return name, nil
}
