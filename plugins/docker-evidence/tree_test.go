package main

import (
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/cmd"
	"github.com/dockerfactory/dockerfactory/shared/plugintest"
)

func TestReference(t *testing.T) {
	plugintest.Reference(t, cmd.New, "../../docs/reference/evidence.md")
}

func TestImports(t *testing.T) {
	plugintest.Imports(t, ".", map[string]string{
		"k8s.io":                           "builders are reached through buildx dial-stdio, not through its drivers",
		"github.com/docker/buildx/builder": "it brings every driver with it",
		"github.com/docker/buildx/driver":  "it brings Kubernetes with it",
		"github.com/open-policy-agent":     "nobody here evaluates Rego",
	})
}
