package build

import (
	"github.com/moby/buildkit/client"

	"github.com/dockerfactory/dockerfactory/shared/buildkit/steps"
)

// A counter passes a solve's status on and counts its steps.
type counter struct {
	in    chan *client.SolveStatus
	done  chan struct{}
	steps steps.Counter
}

func newCounter(out chan<- *client.SolveStatus) *counter {
	c := &counter{in: make(chan *client.SolveStatus), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer close(out)
		for s := range c.in {
			c.steps.Add(s)
			out <- s
		}
	}()
	return c
}

// wait returns the counts once the solver has closed the channel.
func (c *counter) wait() (cached, total int) {
	<-c.done
	return c.steps.Count()
}
