package container

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Keeper is a container of an empty image that is never started and has a volume
// mounted. By way of it the engine reads and writes files of the volume, wherever that
// is. Its name is also a lock: of those who get a volume ready at the same time, on
// whatever machines, one can make it.
type Keeper struct {
	engine *Engine
	id     string
	image  string
	volume string
}

// keeperName is that of a volume's keeper.
func keeperName(volume string) string { return "docker-stickybuilder-volume-" + volume }

// keeperLabel says whose a keeper is; its image has it, too.
const keeperLabel = "dev.dockerfactory.stickybuilder.keeper"

// keeperTime is after how long a keeper cannot be anybody's any more: it is there from the
// look at the volume until the daemon is ready, which may have to wait for an image.
const keeperTime = 30 * time.Minute

// Keep makes the keeper of a volume that exists. token tells it from others', for
// ReleaseKeeper. If there is one already, the error is disk.ErrInUse.
func (e *Engine) Keep(ctx context.Context, volume, token string) (*Keeper, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	k := &Keeper{engine: e, volume: volume}
	var err error
	if k.image, err = e.emptyImage(ctx); err != nil {
		return nil, fmt.Errorf("looking into volume %s: %w", volume, err)
	}
	for again := false; ; again = true {
		c, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{
			Name:   keeperName(volume),
			Config: &container.Config{Image: k.image, Cmd: []string{"never"}, Labels: map[string]string{keeperLabel: token}},
			HostConfig: &container.HostConfig{
				NetworkMode: "none", UsernsMode: "host", // as buildx has it, so that root is root
				Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: volume, Target: Places.Root, VolumeOptions: &mount.VolumeOptions{NoCopy: true}}},
			},
		})
		if err == nil {
			k.id = c.ID
			return k, nil
		}
		if cerrdefs.IsConflict(err) && !again && e.removeStaleKeeper(ctx, volume) {
			continue
		}
		e.removeImage(context.WithoutCancel(ctx), k.image)
		if cerrdefs.IsConflict(err) {
			return nil, fault.Hint(fmt.Errorf("using volume %s: %w: another builder is being brought up on it", volume, disk.ErrInUse),
				"name another volume; or, if that command was killed on another machine: docker rm %s", keeperName(volume))
		}
		return nil, fmt.Errorf("looking into volume %s: %w", volume, err)
	}
}

// removeStaleKeeper removes one that is too old to be anybody's.
func (e *Engine) removeStaleKeeper(ctx context.Context, volume string) bool {
	c, err := e.api.ContainerInspect(ctx, keeperName(volume), client.ContainerInspectOptions{})
	if err != nil {
		return cerrdefs.IsNotFound(err)
	}
	info, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return false
	}
	made, errMade := time.Parse(time.RFC3339Nano, c.Container.Created)
	now, errNow := time.Parse(time.RFC3339Nano, info.Info.SystemTime)
	if errMade != nil || errNow != nil || now.Sub(made) < keeperTime {
		return false
	}
	return e.removeKeeper(ctx, c.Container.ID, c.Container.Image) == nil
}

// ReleaseKeeper removes the keeper of a volume if it has the token.
func (e *Engine) ReleaseKeeper(ctx context.Context, volume, token string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := e.api.ContainerInspect(ctx, keeperName(volume), client.ContainerInspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("looking for container %s: %w", keeperName(volume), err)
	case c.Container.Config == nil || c.Container.Config.Labels[keeperLabel] != token:
		return nil
	}
	return e.removeKeeper(ctx, c.Container.ID, c.Container.Image)
}

// Release removes the keeper.
func (k *Keeper) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return k.engine.removeKeeper(ctx, k.id, k.image)
}

func (e *Engine) removeKeeper(ctx context.Context, id, image string) error {
	if _, err := e.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true}); err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("removing container %.12s: %w", id, err)
	}
	e.removeImage(ctx, image)
	return nil
}

// emptyImage makes an image without files, so that none has to be there or pulled.
func (e *Engine) emptyImage(ctx context.Context) (id string, err error) {
	var nothing bytes.Buffer
	if err := tar.NewWriter(&nothing).Close(); err != nil {
		return "", err
	}
	r, err := e.api.ImageImport(ctx, client.ImageImportSource{Source: &nothing, SourceName: "-"}, "", client.ImageImportOptions{Changes: []string{"LABEL " + keeperLabel + "=1"}})
	if err != nil {
		return "", fmt.Errorf("importing an empty image: %w", err)
	}
	defer r.Close()
	for d := json.NewDecoder(io.LimitReader(r, 1<<20)); ; {
		var line struct{ Status, Error string }
		switch err := d.Decode(&line); {
		case errors.Is(err, io.EOF) && id != "":
			return id, nil
		case err != nil:
			return "", fmt.Errorf("importing an empty image: %w", err)
		case line.Error != "":
			return "", fmt.Errorf("importing an empty image: %s", line.Error)
		case strings.HasPrefix(line.Status, "sha256:"):
			id = line.Status
		}
	}
}

// removeImage is for an image that nothing refers to; one that stays has no bytes.
func (e *Engine) removeImage(ctx context.Context, id string) {
	_, _ = e.api.ImageRemove(ctx, id, client.ImageRemoveOptions{})
}

// maxFile bounds what is read of one file.
const maxFile = 8 << 30

// Read writes the contents of a file of the volume to w; fs.ErrNotExist if there is none.
func (k *Keeper) Read(ctx context.Context, name string, w io.Writer) error {
	c, err := k.engine.api.CopyFromContainer(ctx, k.id, client.CopyFromContainerOptions{SourcePath: path.Join(Places.Root, name)})
	if cerrdefs.IsNotFound(err) {
		return fmt.Errorf("reading %s of volume %s: %w", name, k.volume, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("reading %s of volume %s: %w", name, k.volume, err)
	}
	defer c.Content.Close()
	t := tar.NewReader(c.Content)
	h, err := t.Next()
	switch {
	case err != nil:
	case h.Typeflag != tar.TypeReg:
		err = errors.New("it is not a file")
	case h.Size > maxFile:
		err = fmt.Errorf("it has %d bytes, more than any that BuildKit writes", h.Size)
	default:
		_, err = io.Copy(w, t)
	}
	if err != nil {
		return fmt.Errorf("reading %s of volume %s: %w", name, k.volume, err)
	}
	return nil
}

// Write makes or replaces a file of the volume, whose directory is there.
func (k *Keeper) Write(ctx context.Context, name string, content []byte) error {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	err := t.WriteHeader(&tar.Header{Name: path.Base(name), Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(content)), Format: tar.FormatPAX})
	if err == nil {
		_, err = t.Write(content)
	}
	if err = errors.Join(err, t.Close()); err == nil {
		_, err = k.engine.api.CopyToContainer(ctx, k.id, client.CopyToContainerOptions{DestinationPath: path.Join(Places.Root, path.Dir(name)), Content: &b})
	}
	if err != nil {
		return fmt.Errorf("writing %s of volume %s: %w", name, k.volume, err)
	}
	return nil
}

// First returns the name of the first thing in the volume but for what a new filesystem
// has; "" if it is empty.
func (k *Keeper) First(ctx context.Context) (string, error) {
	c, err := k.engine.api.CopyFromContainer(ctx, k.id, client.CopyFromContainerOptions{SourcePath: Places.Root})
	if err != nil {
		return "", fmt.Errorf("looking into volume %s: %w", k.volume, err)
	}
	defer c.Content.Close() // in the middle: it may be large
	for t := tar.NewReader(c.Content); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("looking into volume %s: %w", k.volume, err)
		}
		// Names begin with that of the directory.
		_, name, _ := strings.Cut(strings.Trim(path.Clean(h.Name), "/"), "/")
		if name != "" && name != "lost+found" {
			return name, nil
		}
	}
}
