package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Profile says how much is brought up.
type Profile string

// Demo is what the suite's main job needs: buildkitd, buildx, a registry and a
// base image. Test adds the outside judges, file system tools and an engine.
const (
	Demo Profile = "demo"
	Test Profile = "test"
)

// ParseProfile checks a name that a user gave.
func ParseProfile(name string) (Profile, error) {
	switch p := Profile(name); p {
	case Demo, Test:
		return p, nil
	}
	return "", fault.Hint(fmt.Errorf("choosing a profile: there is no %q", name), "use demo or test")
}

// A Bed is a testbed that can be changed; [Load] is for those who only use it.
type Bed struct {
	Dirs
	Log    *Log
	State  State
	Getenv func(string) string

	// OwnEngine starts an engine even if one of the user's answers.
	OwnEngine bool
}

// Open returns the testbed below dirs. Nothing is created until it is used.
func Open(dirs Dirs, stderr io.Writer, getenv func(string) string) *Bed {
	return &Bed{Dirs: dirs, Log: NewLog(stderr), Getenv: getenv}
}

// locked runs f with the state read and no other testbed at work.
func (b *Bed) locked(ctx context.Context, f func() error) error {
	if err := b.make(); err != nil {
		return err
	}
	unlock, err := lock(ctx, filepath.Join(b.Dirs.State, ".lock"), b.Log)
	if err != nil {
		return err
	}
	defer unlock()
	if b.State, err = readState(b.stateFile()); err != nil {
		return err
	}
	return f()
}

// Up brings up what p needs and is not there yet.
func (b *Bed) Up(ctx context.Context, p Profile) (Env, error) {
	err := b.locked(ctx, func() error { return b.up(ctx, p) })
	if err != nil {
		return Env{}, err
	}
	return b.env(b.State), nil
}

func (b *Bed) up(ctx context.Context, p Profile) error {
	needs := demoNeeds
	if p == Test {
		needs = testNeeds
	}
	if err := b.install(ctx, needs); err != nil {
		return err
	}
	bins, err := b.prepareTools(ctx, p)
	if err != nil {
		return err
	}
	if err := b.startRegistry(ctx, bins["registry"]); err != nil {
		return err
	}
	if err := b.provideBase(ctx, p); err != nil {
		return err
	}
	if err := b.writeBuildkitdConfig(); err != nil {
		return err
	}
	if err := b.provideEngine(ctx, p, bins["docker"]); err != nil {
		return err
	}
	return b.save()
}

// provideBase sees to it that an ordinary FROM line finds a Debian. With a
// public registry in reach nothing is needed; the tests use the loopback
// registry's in any case, so as not to depend on what the public one serves.
func (b *Bed) provideBase(ctx context.Context, p Profile) error {
	b.State.Mirror = !publicRegistry(ctx)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if p == Demo && !b.State.Mirror {
		b.State.BaseImage = "docker.io/" + baseRepo + ":" + baseTag
		return nil
	}
	dir, err := b.baseImage(ctx)
	if err != nil {
		return err
	}
	b.State.BaseImage = b.State.Registry + "/" + baseRepo + ":" + baseTag
	return push(ctx, dir, b.State.Registry, baseRepo, baseTag)
}

// daemons lists what Down stops, in its order.
var daemons = []struct {
	name, what string
	grace      time.Duration
}{
	{"old-engine", "the old engine", 20 * time.Second},
	{"old-forward", "the old engine's way to the registry", 5 * time.Second},
	{"engine", "the engine", 20 * time.Second},
	{"containerd", "the engine's containerd", 10 * time.Second},
	{"registry", "the registry", 5 * time.Second},
}

// Down stops what Up started. Tools, base images and the registry's contents
// stay, unless purge is set: then everything but the tools' cache goes.
func (b *Bed) Down(ctx context.Context, purge bool) error {
	if _, err := os.Stat(b.Dirs.State); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return b.locked(ctx, func() error {
		var list fault.List
		for _, d := range daemons {
			list.Add(b.stop(d.name, d.what, d.grace))
		}
		list.Add(b.stopShims())
		list.Add(b.removeBridge(ctx))
		list.Add(b.removeHostDirs())
		list.Add(unmountBelow(b.Dirs.State))
		if list.Len() > 0 {
			return list.Err()
		}
		if err := b.removeTree(b.Run); err != nil {
			return err
		}
		b.State.Engine, b.State.OldEngine, b.State.Podman = "", "", ""
		if purge {
			for _, dir := range []string{"registry", "engine", "old-engine", "podman"} {
				if err := b.removeTree(filepath.Join(b.Dirs.State, dir)); err != nil {
					return err
				}
			}
			b.State.Registry, b.State.BaseImage = "", ""
		}
		return b.save()
	})
}

// Status writes one line for each thing that runs.
func (b *Bed) Status(w io.Writer) error {
	s, err := readState(b.stateFile())
	if err != nil {
		return err
	}
	for i := len(daemons) - 1; i >= 0; i-- {
		d := daemons[i]
		p, ok := s.Processes[d.name]
		state := "stopped"
		switch {
		case ok && p.Alive():
			state = fmt.Sprintf("running, pid %d", p.PID)
		case ok:
			state = "died"
		}
		fmt.Fprintf(w, "%-12s %s\n", d.name, state)
	}
	for _, v := range [][2]string{
		{"registry at", s.Registry},
		{"base image", s.BaseImage},
		{"engine at", s.Engine},
		{"old engine", s.OldEngine},
		{"tools", s.Tools},
		{"cache", b.Cache},
	} {
		if v[1] != "" {
			fmt.Fprintf(w, "%-12s %s\n", v[0], strings.TrimSpace(v[1]))
		}
	}
	return nil
}
