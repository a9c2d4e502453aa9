package sticky

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A VolumeDisk is what `disk inspect --format json` prints of a docker volume.
type VolumeDisk struct {
	Disk    string    `json:"disk"`
	Engine  string    `json:"engine"` // name of the docker context, or address
	Driver  string    `json:"driver"` // of the volume
	Created time.Time `json:"created,omitzero"`
	Ours    bool      `json:"ours"`  // it was made to be a disk, and may be removed
	InUse   []string  `json:"inUse"` // containers that run with it; never null
}

// InspectVolume describes the docker volume that a --disk value names, on the engine of that
// address.
func (h Host) InspectVolume(ctx context.Context, engine, spec string) (*VolumeDisk, error) {
	e, found, err := h.findVolume(ctx, engine, spec)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return &VolumeDisk{
		Disk: spec, Engine: engine, Driver: found.Driver, Created: found.Created, Ours: found.Ours, InUse: append([]string{}, found.Users...),
	}, nil
}

// findVolume looks for a volume that has to be there. The caller closes the engine.
func (h Host) findVolume(ctx context.Context, engine, spec string) (*container.Engine, *container.DiskVolume, error) {
	name := volumeOf(spec).Name
	e, err := container.ConnectAnywhere(ctx, engine, h.Reach)
	if err != nil {
		return nil, nil, err
	}
	found, err := e.FindVolume(ctx, name)
	if err == nil && found == nil {
		err = fault.Hint(fmt.Errorf("looking for volume %s: the docker engine at %s has none of that name", name, engine), "see its volumes: docker volume ls")
	}
	if err != nil {
		return nil, nil, errors.Join(err, e.Close())
	}
	return e, found, nil
}

// RemoveVolume removes the docker volume that a --disk value names, with all that is in it,
// from the engine of that address. It has to be one that was made to be a disk.
func (h Host) RemoveVolume(ctx context.Context, engine, spec string) (*Removed, error) {
	e, found, err := h.findVolume(ctx, engine, spec)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	if err := e.RemoveDiskVolume(ctx, found); err != nil {
		return nil, err
	}
	return &Removed{Disk: spec, Generations: []string{}, Lineage: true}, nil
}
