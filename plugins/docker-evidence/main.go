// Command docker-evidence is the docker CLI plugin "docker evidence".
package main

import (
	_ "github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/early" // first of all: see there

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/cmd"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
)

func main() { cliplugin.Main(cmd.New) }
