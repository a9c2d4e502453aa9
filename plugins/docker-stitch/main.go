// Command docker-stitch is the docker CLI plugin "docker stitch".
package main

import (
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/cmd"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
)

func main() { cliplugin.Main(cmd.New) }
