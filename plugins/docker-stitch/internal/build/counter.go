package build

import (
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// A counter passes a solve's status on and counts its steps as BuildKit's history
// does: every vertex once.
type counter struct {
	in     chan *client.SolveStatus
	done   chan struct{}
	steps  map[digest.Digest]bool
	cached map[digest.Digest]bool
}

func newCounter(out chan<- *client.SolveStatus) *counter {
	c := &counter{
		in: make(chan *client.SolveStatus), done: make(chan struct{}),
		steps: map[digest.Digest]bool{}, cached: map[digest.Digest]bool{},
	}
	go func() {
		defer close(c.done)
		defer close(out)
		for s := range c.in {
			for _, v := range s.Vertexes {
				c.steps[v.Digest] = true
				if v.Cached {
					c.cached[v.Digest] = true
				}
			}
			out <- s
		}
	}()
	return c
}

// wait returns the counts once the solver has closed the channel.
func (c *counter) wait() (steps, cached int) {
	<-c.done
	return len(c.steps), len(c.cached)
}
