package sticky

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Drivers run the daemon of a builder.
const (
	AutoDriver      = "auto"
	ProcessDriver   = "process"          // a process of the supervisor
	ContainerDriver = "docker-container" // buildx's driver of that name
	RemoteDriver    = "remote"           // somebody else's buildkitd, by buildx's driver of that name
)

// Drivers are the values of --driver.
var Drivers = []string{AutoDriver, ProcessDriver, ContainerDriver, RemoteDriver}

// ParseDriver checks a value of --driver.
func ParseDriver(value string) (string, error) {
	for _, d := range Drivers {
		if value == d {
			return d, nil
		}
	}
	err := fmt.Errorf("unknown driver %q", value)
	if near := fault.Nearest(value, Drivers); near != "" {
		return "", fault.Hint(err, "did you mean %s", near)
	}
	return "", fault.Hint(err, "drivers: %s", strings.Join(Drivers, ", "))
}

// A runner is the daemon of one builder.
type runner interface {
	// Done is closed once it has ended.
	Done() <-chan struct{}
	// Verdict says in words how it has.
	Verdict() string
	// Stop asks it to end and, if it does not within patience, makes it.
	Stop(ctx context.Context, patience time.Duration) (daemon.End, error)
}

var (
	_ runner = (*daemon.Process)(nil)
	_ runner = (*container.Daemon)(nil)
	_ runner = elsewhere{}
)

// chooseDriver finds out what can run the daemon, and says why it is that. It
// fills in what the instance needs of the driver.
func (h Host) chooseDriver(ctx context.Context, o UpOptions, i *instance.Instance) (why string, err error) {
	want := first(o.Driver, AutoDriver)
	if i.Volume != nil {
		return "a docker volume is for it", h.chooseEngine(ctx, o, i)
	}
	if want == RemoteDriver {
		i.Driver, i.Endpoint = RemoteDriver, o.Endpoint
		return "", checkRemote(ctx, o)
	}
	if want == AutoDriver && len(o.DriverOptions) > 0 {
		want, why = ContainerDriver, "--driver-opt is for it"
	}
	if want != ContainerDriver {
		if i.Buildkitd, err = daemon.FindBuildkitd(o.Buildkitd, h.Path); err == nil {
			i.Driver, why = ProcessDriver, "buildkitd is "+i.Buildkitd
			return why, daemon.CheckRunc(daemon.Binary(o.ConfigText), h.Path)
		}
		if want == ProcessDriver || o.Buildkitd != "" {
			return "", err
		}
		why = "no buildkitd is on PATH"
	}
	engine := h.checkEngine(ctx, o)
	if engine == nil {
		i.Driver = ContainerDriver
		i.Container = &instance.Container{Engine: o.Engine, Node: builderstore.Node(o.Name), Buildx: o.Buildx}
		return why, nil
	}
	if want == AutoDriver {
		return "", fault.Hint(fmt.Errorf("choosing a driver: process: %w; docker-container: %w", err, engine),
			"have one of the two; see what is missing: docker stickybuilder doctor")
	}
	return "", engine
}

// chooseEngine is for a disk that is a volume of the engine. Other machines may use the same
// engine and choose the same NAME, so the container's name has something of the run's id.
func (h Host) chooseEngine(ctx context.Context, o UpOptions, i *instance.Instance) error {
	if err := checkBuildx(o); err != nil {
		return err
	}
	i.Driver = ContainerDriver
	i.Container = &instance.Container{Engine: o.EngineName, Node: builderstore.Node(o.Name) + "-" + i.Working.ID[len(i.Working.ID)-12:], Buildx: o.Buildx}
	engine, err := h.engine(ctx, i)
	if err != nil {
		return err
	}
	defer engine.Close()
	if i.Working.Lineage.Platform, err = engine.Platform(ctx); err != nil {
		return err
	}
	v, err := engine.FindVolume(ctx, i.Volume.Name)
	if err != nil {
		return err
	}
	return v.Busy()
}

func checkBuildx(o UpOptions) error {
	if len(o.Buildx) == 0 {
		return fault.Hint(errors.New("looking for docker buildx: it is not installed"), "install it: https://github.com/docker/buildx#installing")
	}
	return nil
}

func (h Host) checkEngine(ctx context.Context, o UpOptions) error {
	if err := checkBuildx(o); err != nil {
		return err
	}
	engine, err := container.Connect(ctx, o.Engine)
	if err != nil {
		return err
	}
	defer engine.Close()
	return engine.Claim(ctx, builderstore.Node(o.Name), h.State.Dir(o.Name).Endpoint())
}

// entry is how the builder is known to buildx.
func entry(dir instance.Dir, i *instance.Instance) builderstore.Entry {
	e := builderstore.Entry{Name: i.Name, Endpoint: dir.Endpoint(), Platforms: i.Platforms}
	if i.Remote() {
		e.Remote = &builderstore.Remote{Address: i.Endpoint, Options: i.DriverOptions}
	}
	if i.Container != nil {
		e.Container = &builderstore.Container{Engine: i.Container.Engine, Node: i.Container.Node, Options: i.DriverOptions, Config: dir.File(instance.Config)}
	}
	return e
}

// endpoint is where the daemon is, for people.
func endpoint(dir instance.Dir, i *instance.Instance) string {
	if i.Container != nil {
		return "docker-container://" + container.Name(i.Container.Node)
	}
	if i.Remote() {
		return i.Endpoint
	}
	return dir.Endpoint()
}

// places are the daemon's own.
func places(dir instance.Dir, i *instance.Instance) daemon.Places {
	if i.Container != nil {
		return container.Places
	}
	return daemon.Places{Root: i.Working.Root, Socket: dir.Socket(), Trace: dir.TraceSocket(), Cgroup: dir.Cgroup()}
}

// removeContainer removes what the engine has of a builder; nothing for other
// drivers. clean is true if there was a daemon, and it ended when asked, as it is for one
// in a volume.
func (h Host) removeContainer(ctx context.Context, dir instance.Dir, i *instance.Instance) (clean bool, err error) {
	if i.Container == nil {
		return false, nil
	}
	engine, err := h.engine(ctx, i)
	if err != nil {
		return false, err
	}
	defer engine.Close()
	if i.Volume == nil {
		return false, engine.Remove(ctx, i.Container.Node, dir.Endpoint())
	}
	return endInVolume(ctx, engine, dir, i)
}

// endInVolume ends the daemon, if it still runs, as it is to be ended, and removes its
// container, and what an up that was killed may have left. The volume stays.
func endInVolume(ctx context.Context, engine *container.Engine, dir instance.Dir, i *instance.Instance) (clean bool, err error) {
	if err := engine.ReleaseKeeper(ctx, i.Volume.Name, i.Working.ID); err != nil {
		return false, err
	}
	clean, err = engine.Retire(ctx, i.Container.Node, dir.Endpoint(), patience)
	if err != nil {
		return false, err
	}
	return clean, engine.Remove(ctx, i.Container.Node, dir.Endpoint())
}

// boundFile is in the root of every daemon that runs.
func boundFile(root string) string { return filepath.Join(root, "buildkitd.lock") }
