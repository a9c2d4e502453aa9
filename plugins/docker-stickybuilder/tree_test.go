package main

import (
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/cmd"
	"github.com/dockerfactory/dockerfactory/shared/plugintest"
)

func TestReference(t *testing.T) {
	plugintest.Reference(t, cmd.New, "../../docs/reference/stickybuilder.md")
}
