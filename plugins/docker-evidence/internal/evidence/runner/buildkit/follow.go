package buildkit

import (
	"errors"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// follow shows what the daemon does as steps. The channel that it returns is
// closed once the daemon has closed status.
func follow(status <-chan *client.SolveStatus, r progress.Reporter) <-chan struct{} {
	if r == nil {
		r = progress.Discard
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		steps := map[digest.Digest]progress.Step{}
		for s := range status {
			for _, v := range s.Vertexes {
				if steps[v.Digest] == nil && v.Started != nil {
					steps[v.Digest] = r.Step(v.Name)
				}
				finish(steps[v.Digest], v)
			}
			for _, part := range s.Statuses {
				if step := steps[part.Vertex]; step != nil {
					step.Bytes(part.ID, part.Current, part.Total)
				}
			}
		}
		for _, step := range steps {
			step.Done(nil) // does nothing for those that are done
		}
	}()
	return done
}

func finish(step progress.Step, v *client.Vertex) {
	if step == nil || v.Completed == nil {
		return
	}
	if v.Cached {
		step.Cached()
	}
	if v.Error != "" {
		step.Done(errors.New(v.Error))
	} else {
		step.Done(nil)
	}
}
