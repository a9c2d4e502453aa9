// Package doctor says what a machine lacks for builders on sticky disks, and how to
// get it. It looks at things and leaves nothing behind.
package doctor

import (
	"context"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// Options say what to look at.
type Options struct {
	Path      string                 // PATH
	IsRoot    bool                   //
	Overlay   func(dir string) error // daemon.CheckOverlay
	Buildkitd string                 // "" means the one on PATH
	Engine    string                 // address of the docker engine; by Reach for a volume
	Reach     container.Reach        //
	Buildx    []string               // command line of docker buildx, nil if there is none
	Image     string                 // of the container; "" means buildx's default
	Disk      disk.Spec
	Home      string // directory of the pool that holds the disk, or this machine's part of it

	Keychain  authn.Keychain
	UserAgent string

	Files  []File // that the CI system wants to be written
	Runner string // process of the CI system above this one, "" if none is known
	CI     bool   // a CI system has started this
}

// File is one that a variable names.
type File struct{ Variable, Path string }

// Areas of findings. Each driver is one.
const (
	Machine   = "machine"
	Process   = "process"
	Container = "docker-container"
	Disk      = "disk"
	CI        = "ci"
)

// Statuses of findings.
const (
	OK      = "ok"
	Warning = "warning" // it works, but not as well as it could
	Missing = "missing" // it does not work without
)

// A Finding is the answer to one question.
type Finding struct {
	Area   string `json:"area"`
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

// A Diagnosis is what `doctor --format json` prints.
type Diagnosis struct {
	Usable   bool      `json:"usable"`  // up can bring a builder up
	Driver   string    `json:"driver"`  // that --driver auto chooses, "" for none
	Drivers  []string  `json:"drivers"` // that can be used; never null
	Findings []Finding `json:"findings"`
}

// Examine looks at everything. It takes a few seconds at the most where an engine or
// a registry does not answer.
func Examine(ctx context.Context, o Options) *Diagnosis {
	d := &Diagnosis{Drivers: []string{}}
	d.machine(o)
	d.process(ctx, o)
	d.container(ctx, o)
	d.disk(ctx, o)
	d.ci(o)
	if d.lacks(Machine) || d.lacks(Disk) {
		return d
	}
	for _, driver := range []string{Process, Container} {
		if !d.lacks(driver) && (driver == Container || !o.volume()) {
			d.Drivers = append(d.Drivers, driver)
		}
	}
	if len(d.Drivers) > 0 {
		d.Usable, d.Driver = true, d.Drivers[0]
	}
	return d
}

// volume reports whether the disk is a docker volume, wherever the engine is.
func (o Options) volume() bool { return o.Disk.Scheme == disk.SchemeVolume }

func (d *Diagnosis) lacks(area string) bool {
	for _, f := range d.Findings {
		if f.Area == area && f.Status == Missing {
			return true
		}
	}
	return false
}

func (d *Diagnosis) add(area, check, status, detail, hint string) {
	d.Findings = append(d.Findings, Finding{area, check, status, detail, hint})
}
