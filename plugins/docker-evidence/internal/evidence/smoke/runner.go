// Package smoke runs the commands of suites in containers of one image and
// judges what they answer. It does not know how containers are made: a [Runner]
// does.
package smoke

import (
	"context"
	"io"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
)

// A Process is what a container runs in place of the image's entrypoint and
// command.
type Process struct {
	Args []string
	Env  []string // NAME=value, on top of the image's
	User string   // "" for the image's
	Dir  string   // "" for the image's, or else /
	// Network is one of suite.NetworkNone and suite.NetworkDefault.
	Network string
	// Stdout and Stderr take what the process writes. Run calls them from
	// several goroutines, and never after it has returned. Stdin is empty.
	Stdout, Stderr io.Writer
}

// Exit statuses that stand for a process that could not be started, as shells
// and the docker CLI have them.
const (
	ExitNotExecutable = 126
	ExitNotFound      = 127
)

// An Image can be asked to run processes.
type Image interface {
	// Run runs p to its end in a container of its own, made from the image as it
	// was pushed, and returns the exit status. A program that the image does not
	// have gives [ExitNotFound], one that cannot be executed
	// [ExitNotExecutable], with the reason on p.Stderr. When ctx ends the
	// process is killed. An error says that the container could not be run, or
	// that ctx ended, and nothing about the image.
	//
	// Nothing of the container is left when Run returns.
	Run(ctx context.Context, p Process) (int, error)
	// Host tells what the containers run on.
	Host() record.Host
}

// A Runner makes the image available. The image is fixed, by digest, when the
// runner is made.
type Runner interface {
	// Use calls fn once with the image. When it returns, nothing is left that it
	// made. An error is fn's, or says that the image could not be made
	// available, or that it is no longer the one asked for.
	Use(ctx context.Context, fn func(context.Context, Image) error) error
}
