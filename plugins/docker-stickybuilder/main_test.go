package main

import (
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, "docker-stickybuilder", main) }

func TestScripts(t *testing.T) { plugintest.Run(t, "docker-stickybuilder", "testdata", nil) }

// The domain runs in a supervisor that nobody watches, and in other programs
// some day: it has no command line and no terminal.
func TestImports(t *testing.T) {
	const base = "./internal/sticky/"
	for _, pkg := range []string{"daemon", "dirpool", "disk", "durable", "history", "mounts", "process", "tree", "instance"} {
		plugintest.Imports(t, base+pkg, map[string]string{
			"github.com/spf13/cobra":                                  "commands are the business of internal/cmd",
			"github.com/docker/cli/cli":                               "the docker CLI is the business of internal/cmd",
			"github.com/docker/buildx":                                "the buildx store is the business of builderstore",
			"github.com/dockerfactory/dockerfactory/shared/cliplugin": "commands are the business of internal/cmd",
		})
	}
	plugintest.Imports(t, ".", map[string]string{"github.com/anchore/syft": "only docker evidence makes SBOMs"})
}
