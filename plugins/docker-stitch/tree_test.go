package main

import (
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/cmd"
	"github.com/dockerfactory/dockerfactory/shared/plugintest"
)

func TestReference(t *testing.T) {
	plugintest.Reference(t, cmd.New, "../../docs/reference/stitch.md")
}

func TestImports(t *testing.T) {
	plugintest.Imports(t, ".", map[string]string{"github.com/anchore/syft": "only docker evidence makes SBOMs"})
}
