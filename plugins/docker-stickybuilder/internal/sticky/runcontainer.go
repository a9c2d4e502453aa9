package sticky

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// bootTime bounds the pull of an image, and all else that buildx does.
const bootTime = 15 * time.Minute

// runContainer has buildx's docker-container driver boot the builder, which is in
// its store, with the working copy, or a volume, for its state.
func (s *supervisor) runContainer(ctx context.Context, log *os.File) error {
	c := s.inst.Container
	engine, err := s.host.engine(ctx, s.inst)
	if err != nil {
		return err
	}
	s.engine = engine
	boot := s.bootOnCopy
	if s.inst.Volume != nil {
		boot = s.bootOnVolume
	}
	if err := boot(ctx); err != nil {
		return err
	}
	// The daemon is to be followed to its end, whoever wants that.
	d, err := engine.Follow(context.WithoutCancel(ctx), c.Node, log)
	if err != nil {
		return s.explain(err)
	}
	s.daemon, s.run.Buildkitd = d, d.ID
	if err := s.dir.SaveRun(s.run); err != nil {
		return err
	}
	s.client, err = client.New(context.WithoutCancel(ctx), "", client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return d.Dial(ctx) }))
	if err != nil {
		return fmt.Errorf("connecting to buildkitd: %w", err)
	}
	about, err := daemon.Answer(ctx, s.client, s.inst.ReadyTimeout)
	if err != nil {
		return s.explain(err)
	}
	s.run.BuildkitVersion, s.run.Snapshotter = about.Version, about.Snapshotter
	if s.inst.Volume != nil {
		return engine.CheckMounted(ctx, c.Node, s.inst.Volume.Name)
	}
	if _, err := os.Stat(boundFile(s.inst.Working.Root)); err != nil {
		return fault.Hint(fmt.Errorf("giving the disk to container %s: the engine has bound another directory of that name: %w", container.Name(c.Node), err),
			"run the command where the engine runs: in a container it is in another filesystem")
	}
	return nil
}

func (s *supervisor) bootOnCopy(ctx context.Context) error {
	if err := s.engine.MakeVolume(ctx, s.inst.Container.Node, s.dir.Endpoint(), s.inst.Working.Root); err != nil {
		return err
	}
	return s.boot(ctx, s.inst.Store)
}

// bootOnVolume has buildx find the engine behind a socket that puts the disk's volume in the
// place of the one that buildx mounts. That is only for the boot, and in a store of its own:
// later buildx asks the engine itself.
func (s *supervisor) bootOnVolume(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	socket := s.dir.Socket() // of no use to a daemon in a container
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("booting the builder: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- s.engine.Substitute(ctx, listener, s.inst.Container.Node, s.inst.Volume.Name) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			s.say("serving the engine to buildx: %v", err)
		}
	}()

	config := s.dir.File(instance.Boot)
	defer os.RemoveAll(config)
	store, err := builderstore.Open(config)
	if err != nil {
		return err
	}
	e := entry(s.dir, s.inst)
	e.Container.Engine = "unix://" + socket
	if _, err := store.Register(e, nil); err != nil {
		return err
	}
	return s.boot(ctx, config)
}

// boot has buildx boot the builder of its store.
func (s *supervisor) boot(ctx context.Context, store string) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	argv := append(s.inst.Container.Buildx[1:len(s.inst.Container.Buildx):len(s.inst.Container.Buildx)], "inspect", "--bootstrap", s.inst.Name)
	cmd := exec.CommandContext(ctx, s.inst.Container.Buildx[0], argv...)
	cmd.Env = append(detachedEnviron(s.host.Environ), "BUILDX_CONFIG="+store, "BUILDKIT_PROGRESS=plain", "NO_COLOR=1")
	cmd.Dir = "/"
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	_, _ = s.log.Write(out.Bytes())
	word := lastError(out.String())
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("booting the builder with docker buildx: %w", context.Cause(ctx))
	case err == nil && word == "":
		return nil
	case err == nil:
		err = errors.New(word) // a mistake in the node's options is only printed
	case word != "":
		err = fmt.Errorf("%w: %s", err, word)
	}
	return explainBoot(fmt.Errorf("booting the builder with docker buildx: %w", err), word, s.inst.DriverOptions["image"])
}

// lastError finds what buildx says last about its failure.
func lastError(said string) (word string) {
	for line := range strings.Lines(said) {
		for _, mark := range []string{"ERROR: ", "Error:"} {
			if after, ok := strings.CutPrefix(strings.TrimSpace(line), mark); ok {
				word = strings.TrimSpace(after)
			}
		}
	}
	return word
}

// explainBoot says what to do about it.
func explainBoot(err error, word, image string) error {
	switch {
	case strings.Contains(word, "docker-init"):
		return fault.Hint(err, "the engine lacks its docker-init: install tini, or the docker-init of its package")
	case strings.Contains(word, "No such image"), strings.Contains(word, "pull access denied"), strings.Contains(word, "failed to resolve reference"),
		strings.Contains(word, "not found"), strings.Contains(word, "dial tcp"):
		return fault.Hint(err, "pull or load the image %s into the engine, or name one that it can have: --driver-opt image=IMAGE", first(image, "moby/buildkit:buildx-stable-1"))
	case strings.Contains(word, "unable to apply caps"), strings.Contains(word, "operation not permitted"):
		return fault.Hint(err, "the engine cannot run privileged containers here: use a buildkitd of this machine with --driver process")
	}
	return err
}
