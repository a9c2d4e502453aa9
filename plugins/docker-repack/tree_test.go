package main

import (
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/cmd"
	"github.com/dockerfactory/dockerfactory/shared/plugintest"
)

func TestReference(t *testing.T) {
	plugintest.Reference(t, cmd.New, "../../docs/reference/repack.md")
}

func TestImports(t *testing.T) {
	plugintest.Imports(t, ".", map[string]string{
		"github.com/anchore/syft":  "only docker evidence makes SBOMs",
		"github.com/docker/buildx": "repacking needs no builder",
	})
}
