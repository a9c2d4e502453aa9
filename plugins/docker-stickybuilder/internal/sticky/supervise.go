package sticky

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A supervisor runs one buildkitd, listens to its history and, when it is told
// to stop, ends the builder.
type supervisor struct {
	host    Host
	dir     instance.Dir
	inst    *instance.Instance
	run     instance.Run
	lock    *os.File
	log     io.Writer
	clock   stopwatch // of the phases
	daemon  runner
	engine  *container.Engine // of the docker-container driver
	client  *client.Client
	journal *history.Journal
	witness *history.Witness
	stop    context.CancelFunc // of the witness
	watched chan error         // its result
	deaf    error              // why it ended early

	tidied    <-chan struct{} // of tidyBehind
	abandoned bool            // nobody has heard that the builder is ready
	told      time.Time       // when progress was written down
	pruning   bool            // the builds are over: a daemon that dies now takes none of them along

	asked  <-chan os.Signal          // for a checkpoint
	making <-chan *instance.Instance // what a checkpoint has made of the builder; nil if none is made
}

// Supervise runs the builder of the given name until ctx is cancelled, which a
// SIGTERM does, and then commits or discards its working copy as the request that
// down has left says, or discards it if there is none. A signal on asked says that
// commit has left a request. ready and lock are the inherited descriptors; log is
// where it says what it does.
func (h Host) Supervise(ctx context.Context, name string, ready io.WriteCloser, lock *os.File, asked <-chan os.Signal, log io.Writer) error {
	dir := h.State.Dir(name)
	inst, err := dir.Load()
	if err == nil && inst == nil {
		err = fmt.Errorf("supervising %s: there is no such builder", name)
	}
	if err != nil {
		return errors.Join(err, announce(ready, err))
	}
	s := &supervisor{host: h, dir: dir, inst: inst, lock: lock, log: log, asked: asked, clock: stopwatch{now: h.Now}, watched: make(chan error, 1)}
	err = s.start(ctx)
	heard := announce(ready, err)
	ready.Close()
	if err != nil {
		s.say("%v", err)
	}
	// If the up that asked for a builder has died, nobody cleans up.
	s.abandoned = heard != nil
	switch {
	case s.abandoned:
		s.say("announcing the builder: %v", heard)
	case err != nil:
		s.end(ctx)
		return err
	default:
		s.tidied = s.tidyBehind(context.WithoutCancel(ctx))
		s.watch(ctx)
	}
	return errors.Join(err, s.finish(context.WithoutCancel(ctx)))
}

func (s *supervisor) say(format string, args ...any) {
	fmt.Fprintf(s.log, "%s %s\n", s.host.Now().UTC().Format(time.RFC3339Nano), fmt.Sprintf(format, args...))
}

func (s *supervisor) phase(p string) {
	s.run.Phase = p
	s.clock.enter(p)
	s.say("phase %s", p)
	if err := s.dir.SaveRun(s.run); err != nil {
		s.say("%v", err)
	}
}

// movedEvery bounds how often a commit's progress is written down.
const movedEvery = 300 * time.Millisecond

// moved lets down see how far a commit is. It is called by one goroutine at a time.
func (s *supervisor) moved(done, total int64) {
	if now := s.host.Now(); now.Sub(s.told) > movedEvery {
		s.told, s.run.Moved, s.run.Total = now, done, total
		_ = s.dir.SaveRun(s.run)
	}
}

func (s *supervisor) start(ctx context.Context) (err error) {
	if s.run.Supervisor, err = process.Identify(os.Getpid()); err != nil {
		return err
	}
	if err := process.BecomeSubreaper(); err != nil {
		return fmt.Errorf("becoming subreaper: %w", err)
	}
	s.run.Phase = instance.PhaseStarting
	if err := s.dir.SaveRun(s.run); err != nil {
		return err
	}
	out, err := os.OpenFile(s.dir.File(instance.BuildkitdLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if s.inst.Container == nil {
		defer out.Close() // the child has it; a container's log is copied from here
	}
	began := s.host.Now()
	if err := s.begin(ctx, out); err != nil {
		return err
	}
	s.run.ReadyMillis = s.host.Now().Sub(began).Milliseconds()
	if err := s.listen(ctx); err != nil {
		return err
	}
	s.phase(instance.PhaseReady)
	return nil
}

// begin has the daemon run by the driver, and makes sure that it can build. Somebody
// else's is not touched.
func (s *supervisor) begin(ctx context.Context, log *os.File) error {
	if s.inst.Remote() {
		return s.runRemote(ctx)
	}
	run := s.runProcess
	if s.inst.Container != nil {
		run = s.runContainer
	}
	if err := run(ctx, log); err != nil {
		return err
	}
	if err := daemon.Probe(ctx, s.client, s.inst.ReadyTimeout); err != nil {
		return s.explain(err)
	}
	return nil
}

func (s *supervisor) runProcess(ctx context.Context, log *os.File) error {
	d, err := daemon.Start(s.inst.Buildkitd, s.dir.File(instance.Config), detachedEnviron(s.host.Environ), log, s.lock)
	if err != nil {
		return err
	}
	s.daemon = d
	s.run.Buildkitd, s.run.Namespace = d.ID, process.Namespace(d.ID.PID)
	if err := s.dir.SaveRun(s.run); err != nil {
		return err
	}
	c, about, err := daemon.Ready(ctx, s.dir.Socket(), d.Ended, s.inst.ReadyTimeout)
	if err != nil {
		return s.explain(err)
	}
	s.client, s.run.BuildkitVersion, s.run.Snapshotter = c, about.Version, about.Snapshotter
	// buildkitd lets everybody in; the directory does not, and nor shall the socket.
	return os.Chmod(s.dir.Socket(), 0o600)
}

// explain adds the daemon's last words.
func (s *supervisor) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	words := lastWords(s.dir.File(instance.BuildkitdLog))
	if words == "" {
		return err
	}
	e := fmt.Errorf("%w: %s", err, words)
	if fault.HintOf(err) == "" {
		return fault.Hint(e, "see %s", s.host.State.Last(s.inst.Name).File(instance.BuildkitdLog))
	}
	return e
}

// maxWords bounds how much of a log's end is read.
const maxWords = 4 << 10

func lastWords(log string) string {
	f, err := os.Open(log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err != nil || end == 0 {
		return ""
	} else if _, err := f.Seek(max(0, end-maxWords), io.SeekStart); err != nil {
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(f, maxWords))
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "buildkitd: ") || strings.Contains(lines[i], "level=fatal") || strings.Contains(lines[i], "level=error") {
			return strings.TrimPrefix(lines[i], "buildkitd: ")
		}
	}
	return lines[len(lines)-1]
}

// listen begins to witness. Builds cannot come before up has been told that the
// builder is ready, and the last round trip shows that the stream is served.
func (s *supervisor) listen(ctx context.Context) (err error) {
	if s.journal, err = history.OpenJournal(s.dir.File(instance.Journal)); err != nil {
		return err
	}
	s.witness = history.NewWitness(s.client.ControlClient(), s.journal, s.host.Now)
	s.witness.Shared = s.inst.Remote()
	if !s.inst.Elsewhere() {
		w := s.inst.Working
		s.witness.Exhausted = func() bool { return exhausted(&w) }
	}
	if err := s.witness.Baseline(ctx); err != nil {
		return err
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go func() { s.watched <- s.witness.Watch(watch) }()
	return s.witness.Sweep(ctx)
}

const reapEvery = 5 * time.Second

// watch returns when ctx is cancelled or the job has ended. If the daemon dies before,
// it notes that, cleans up after it, and goes on waiting.
func (s *supervisor) watch(ctx context.Context) {
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	job := time.NewTicker(jobPoll)
	defer job.Stop()
	ended := s.daemon.Done()
	for {
		select {
		case <-ctx.Done():
			return
		case <-job.C:
			if s.jobEnded() {
				return
			}
		case <-tick.C:
			process.Reap(s.run.Buildkitd.PID)
		case <-s.asked:
			s.beginCheckpoint(ctx)
		case inst := <-s.making:
			s.endCheckpoint(inst)
		case err := <-s.watched:
			s.hearNoMore(err)
		case <-ended:
			ended = nil
			s.stop()
			s.run.Crash = "buildkitd died: " + s.daemon.Verdict()
			if err := s.journal.Exit(s.host.Now(), s.run.Crash); err != nil {
				s.hearNoMore(err)
			}
			s.killLeftovers()
			s.phase(instance.PhaseCrashed)
		}
	}
}

func (s *supervisor) hearNoMore(err error) {
	if err != nil {
		s.say("%v", err)
		s.deaf = err
	}
}

func (s *supervisor) killLeftovers() {
	n := process.KillChildren() + process.KillCgroup(s.dir.Cgroup())
	if n > 0 {
		s.say("killed %d processes that builds left", n)
	}
}

// forgetContainer removes what the engine has of the builder, so that nothing is
// mounted on the disk any more.
func (s *supervisor) forgetContainer(ctx context.Context) {
	if s.engine == nil {
		return
	}
	remove := func() error { return s.engine.Remove(ctx, s.inst.Container.Node, s.dir.Endpoint()) }
	if s.inst.Volume != nil {
		remove = func() error { _, err := endInVolume(ctx, s.engine, s.dir, s.inst); return err }
	}
	if err := remove(); err != nil {
		s.say("%v", err)
	}
	s.engine.Close()
}

// end makes sure that neither the daemon nor anything of it is left running.
func (s *supervisor) end(ctx context.Context) (clean bool) {
	if s.stop != nil {
		s.stop()
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.daemon != nil {
		end, err := s.daemon.Stop(context.WithoutCancel(ctx), patience)
		if err != nil {
			s.say("%v", err)
		}
		if end == daemon.Crashed && s.run.Crash == "" && !s.pruning {
			s.run.Crash = "buildkitd died: " + s.daemon.Verdict()
		}
		clean = end == daemon.Clean
	}
	s.forgetContainer(context.WithoutCancel(ctx))
	s.killLeftovers()
	return clean
}
