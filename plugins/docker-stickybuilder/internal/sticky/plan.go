package sticky

import (
	"context"
	"errors"
	"fmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A plan is everything that is decided before anything changes.
type plan struct {
	inst  *instance.Instance
	text  []byte   // of the user's configuration
	notes []string // for the user
}

func (h Host) plan(ctx context.Context, dir instance.Dir, o UpOptions) (*plan, error) {
	vol := volumeOf(first(o.Disk, o.DefaultDisk))
	if !h.IsRoot && o.Driver != RemoteDriver && vol == nil {
		return nil, fault.Hint(errors.New("bringing up a builder: it has to run as root, with every driver that has a disk: the files on it are root's"), "run it as root: sudo docker stickybuilder up")
	}
	id, err := h.newID()
	if err != nil {
		return nil, err
	}
	i := &instance.Instance{
		Format:        disk.Format,
		Name:          o.Name,
		Disk:          first(o.Disk, o.DefaultDisk),
		Volume:        vol,
		ReadOnly:      o.ReadOnly,
		Because:       o.Because,
		Keep:          o.Keep,
		MaxBytes:      o.maxBytes(),
		Config:        o.Config,
		Snapshotter:   daemon.Snapshotter(o.ConfigText),
		DriverOptions: o.DriverOptions,
		Entitlements:  o.Entitlements,
		Platforms:     o.Platforms,
		Job:           o.Job,
		JobName:       o.JobName,
		Created:       h.Now().UTC(),
		ReadyTimeout:  o.ReadyTimeout,
		Store:         o.Store.Dir(),
		Working:       disk.Working{ID: id, Lineage: o.lineage()},
	}
	if i.Diskless() {
		i.ReadOnly, i.Because = false, "" // there is nothing to be protected
	}
	if vol != nil && o.ReadOnly {
		return nil, fault.Hint(fmt.Errorf("using volume %s: the builder is to be read-only, since %s, and %w", vol.Name, o.Because, ErrNoGenerations),
			"use another disk, or --disk none; or allow it to write with --read-only=false")
	}
	why, err := h.chooseDriver(ctx, o, i)
	if err != nil {
		return nil, err
	}
	p := &plan{inst: i, text: o.ConfigText}
	if first(o.Driver, AutoDriver) == AutoDriver {
		p.notes = append(p.notes, fmt.Sprintf("driver %s: %s", i.Driver, why))
	}
	if i.ReadyTimeout <= 0 {
		i.ReadyTimeout = readyTimeout
	}
	if err := checkEnv(o.EnvFile); err != nil {
		return nil, err
	}
	// The root is not known before the clone is made, and does not matter for
	// the user's mistakes.
	text, ignored, err := daemon.Config(o.ConfigText, o.Config, places(dir, i), i.MaxBytes, i.Entitlements...)
	if err != nil {
		return nil, err
	}
	if len(ignored) > 0 {
		p.notes = append(p.notes, fmt.Sprintf("%s: replaced, since the builder needs its own: %v", o.Config, ignored))
	}
	return p, daemon.CheckRegistries(text)
}

// DefaultMaxBytes bounds a disk unless the user says otherwise.
const DefaultMaxBytes int64 = 50 << 30

func (o UpOptions) maxBytes() int64 {
	switch {
	case o.MaxBytes != nil:
		return *o.MaxBytes
	case daemon.SetsGC(o.ConfigText):
		return 0
	}
	return DefaultMaxBytes
}
