// Command docker-repack is the docker CLI plugin that re-lays images into layers
// that pull fastest.
package main

import (
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/cmd"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
)

func main() { cliplugin.Main(cmd.New) }
