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

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// bootTime bounds the pull of an image, and all else that buildx does.
const bootTime = 15 * time.Minute

// runContainer has buildx's docker-container driver boot the builder, which is in
// its store, with the working copy for its state.
func (s *supervisor) runContainer(ctx context.Context, log *os.File) error {
	c, owner := s.inst.Container, s.dir.Endpoint()
	engine, err := container.Connect(ctx, c.Engine)
	if err != nil {
		return err
	}
	s.engine = engine
	if err := engine.MakeVolume(ctx, c.Node, owner, s.inst.Working.Root); err != nil {
		return err
	}
	if err := s.boot(ctx); err != nil {
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
	if _, err := os.Stat(boundFile(s.inst.Working.Root)); err != nil {
		return fault.Hint(fmt.Errorf("giving the disk to container %s: the engine has bound another directory of that name: %w", container.Name(c.Node), err),
			"run the command where the engine runs: in a container it is in another filesystem")
	}
	return nil
}

func (s *supervisor) boot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	argv := append(s.inst.Container.Buildx[1:len(s.inst.Container.Buildx):len(s.inst.Container.Buildx)], "inspect", "--bootstrap", s.inst.Name)
	cmd := exec.CommandContext(ctx, s.inst.Container.Buildx[0], argv...)
	cmd.Env = append(detachedEnviron(s.host.Environ), "BUILDX_CONFIG="+s.inst.Store, "BUILDKIT_PROGRESS=plain", "NO_COLOR=1")
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
