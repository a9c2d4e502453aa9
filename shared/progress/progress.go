// Package progress is how domain code tells what it is doing, without knowing
// who listens. shared/progress/display draws it on a terminal; [Discard] drops it.
package progress

import "io"

// A Reporter starts steps. It is safe for concurrent use.
type Reporter interface {
	// Step announces that a piece of work called name has started. The caller
	// ends it with Step.Done.
	Step(name string) Step
}

// A Step is one piece of work under way. Its methods are safe for concurrent
// use and do nothing after Done.
type Step interface {
	// Bytes reports that current of total bytes of the part called id are done;
	// a total of 0 means not known. The part counts as complete once current
	// reaches a total above 0.
	Bytes(id string, current, total int64)
	// Log writes lines that belong to the step, such as a program's output. It
	// never returns an error.
	io.Writer
	// Cached marks the step as one that needed no work.
	Cached()
	// Done ends the step; a non-nil err shows it as failed.
	Done(err error)
}

// Discard is a Reporter that drops everything.
var Discard Reporter = discard{}

type discard struct{}

func (discard) Step(string) Step            { return discard{} }
func (discard) Bytes(string, int64, int64)  {}
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Cached()                     {}
func (discard) Done(error)                  {}

// Do runs fn as a step called name and ends the step with fn's error.
func Do(r Reporter, name string, fn func(Step) error) error {
	step := r.Step(name)
	err := fn(step)
	step.Done(err)
	return err
}
