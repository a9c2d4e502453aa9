package sticky

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

// When the job has ended without down, the supervisor does what down would have
// done: it decides by the default policies, and takes the builder out of the buildx
// store. The report stays where the next up, recover or down finds it.

const (
	jobPoll     = time.Second
	orphanDrain = 30 * time.Second
	orphanWait  = 30 * time.Second // for an up that is about to end
)

// jobEnded reports whether the process has ended for which the builder is there.
func (s *supervisor) jobEnded() bool { return !s.inst.Job.IsZero() && !s.inst.Job.Alive() }

// orphanStop is what the supervisor does then.
var orphanStop = instance.Stop{Policy: string(history.Auto), Drain: orphanDrain, OnConflict: string(KeepRicher)}

// lease describes the process for which the builder is there; nil if there is none.
func lease(i *instance.Instance) *Lease {
	if i.Job.IsZero() {
		return nil
	}
	return &Lease{
		PID: i.Job.PID, Name: i.JobName, Alive: i.Job.Alive(),
		Policy: orphanStop.Policy, OnConflict: orphanStop.OnConflict, DrainSeconds: orphanStop.Drain.Seconds(),
	}
}

// orphaned is the request of a job that can make none any more; nil if it can.
func (s *supervisor) orphaned() (*instance.Stop, string) {
	switch {
	case s.abandoned:
		return &instance.Stop{Policy: string(history.Never)}, "the command that brought the builder up died"
	case s.jobEnded():
		stop := orphanStop
		return &stop, fmt.Sprintf("%s (process %d) ended without docker stickybuilder down", first(s.inst.JobName, "the job"), s.inst.Job.PID)
	}
	return nil, ""
}

// release takes the builder out of the buildx store unless a command is about to
// do so, or has made another one of the same name meanwhile.
func (s *supervisor) release(ctx context.Context) {
	for waited := time.Duration(0); waited < orphanWait; waited += jobPoll {
		lock, err := s.host.State.Lock(ctx, s.inst.Name, 0)
		if errors.Is(err, durable.ErrLocked) {
			if stop, err := s.dir.LoadStop(); stop != nil || err != nil {
				return // a down waits for this supervisor
			}
			time.Sleep(jobPoll) // an up goes on to its end
			continue
		}
		if err != nil {
			s.say("%v", err)
			return
		}
		defer lock.Close()
		inst, err := s.dir.Load()
		if err != nil || inst == nil || inst.Working.ID != s.inst.Working.ID {
			return
		}
		if err := errors.Join(s.host.unregister(s.dir, inst), s.dir.RemoveSocketDir()); err != nil {
			s.say("%v", err)
		}
		return
	}
}
