// Package suite reads smoke suites: YAML files that list commands to run in an
// image and what they must answer.
//
//	name: smoke
//	timeout: 30s
//	network: none
//	commands:
//	  - name: python runs
//	    run: ["python3", "--version"]
//	    stdout: "Python 3"
//	    exit: 0
//
// [Parse] reports every mistake of a file in one error, each at its place. The
// package runs nothing.
package suite

import (
	"time"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// DefaultTimeout is how long a command may take where the file says nothing.
const DefaultTimeout = time.Minute

// Networks that the commands of a suite can see.
const (
	NetworkNone    = "none"    // the loopback interface only; the default
	NetworkDefault = "default" // what the engine or builder gives its containers
)

// A Suite is one file.
type Suite struct {
	File     string // as the user named it
	Digest   string // "sha256:<hex>" of the file's bytes
	Size     int64
	Name     string // from the file, else the file's own name without extension
	Network  string
	Commands []Command
}

// A Command is one test: a process that is run in a container of its own in place
// of the image's entrypoint and command.
type Command struct {
	Name    string
	Args    []string
	Timeout time.Duration
	Exit    int
	Stdout  []Pattern // all must match
	Stderr  []Pattern
	Env     []Variable
	User    string // "" for the image's
	Workdir string // "" for the image's
	At      fault.Position
}

// A Variable is added to the environment that the image has. One without a value
// in the file takes the caller's, and is kept out of logs as a secret.
type Variable struct {
	Name       string
	Value      string
	FromCaller bool
	At         fault.Position
}
