// Package steps counts what a build computed and what it found in the cache.
package steps

import (
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// A Counter counts the steps of one solve. The zero value is ready for use.
//
// A step is a vertex of the build graph with inputs: a RUN, a COPY, a WORKDIR,
// whatever is computed from something else. What BuildKit loads, resolves or
// exports around them has none and never counts as cached; with it included, as
// in BuildKit's own totals, a build that is cached to the last step would not
// look so.
type Counter struct {
	cached map[digest.Digest]bool          // by vertex
	ran    map[digest.Digest]time.Duration // those that came to a good end
}

// Add takes a status update over. A vertex may occur in any number of them.
func (c *Counter) Add(s *client.SolveStatus) {
	if c.cached == nil {
		c.cached, c.ran = map[digest.Digest]bool{}, map[digest.Digest]time.Duration{}
	}
	for _, v := range s.Vertexes {
		if len(v.Inputs) == 0 {
			continue
		}
		c.cached[v.Digest] = c.cached[v.Digest] || v.Cached
		if v.Started != nil && v.Completed != nil && v.Error == "" {
			c.ran[v.Digest] = max(c.ran[v.Digest], v.Completed.Sub(*v.Started))
		}
	}
}

// Computed returns how long the steps took that were not cached and came to a
// good end. Steps that ran side by side count in full.
func (c *Counter) Computed() time.Duration {
	var sum time.Duration
	for d, took := range c.ran {
		if !c.cached[d] {
			sum += took
		}
	}
	return sum
}

// Count returns how many steps there were and how many of them were cached.
func (c *Counter) Count() (cached, total int) {
	for _, is := range c.cached {
		if is {
			cached++
		}
	}
	return cached, len(c.cached)
}
