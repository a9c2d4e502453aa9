// Command docker-stickybuilder is the docker CLI plugin "docker stickybuilder".
package main

import (
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/cmd"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
)

func main() { cliplugin.Main(cmd.New) }
