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
	plugintest.Imports(t, ".", nil)
}
