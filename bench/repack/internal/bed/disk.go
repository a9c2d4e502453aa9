package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
)

// engineSpace is how large the engine's filesystem is; it takes what is in it.
const engineSpace = 32 << 30

// mountEngineDisk mounts a new filesystem for an engine and returns where. The machine's own may
// have no journal, as disks of rented machines often do. Ext4 without one gives no inode away
// within minutes of a deletion, and looks for others one by one: who pulls after another image
// was removed takes up to three times as long, which says nothing about either image.
func (b *Bed) mountEngineDisk(ctx context.Context) (string, error) {
	dir, err := b.Work("engine")
	if err != nil {
		return "", err
	}
	image := filepath.Join(b.Scratch, "engine.ext4")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, engineSpace)); err != nil {
		return "", fmt.Errorf("making the engine's disk: %w", err)
	}
	run := func(argv ...string) (string, error) {
		var out bytes.Buffer
		_, err := measure.Run(ctx, measure.Command{Argv: argv, Env: b.Env(b.Scratch), Stdout: &out})
		return strings.TrimSpace(out.String()), err
	}
	if _, err := run("mkfs.ext4", "-q", "-O", "has_journal", image); err != nil {
		return "", fmt.Errorf("making the engine's disk: %w", err)
	}
	device, err := run("losetup", "--find", "--show", "--direct-io=on", image)
	if err != nil {
		return "", fmt.Errorf("making the engine's disk: %w", err)
	}
	_, err = run("mount", "-o", "noinit_itable", device, dir)
	// The device goes with the mount.
	if _, detach := run("losetup", "--detach", device); err == nil {
		err = detach
	}
	if err != nil {
		return "", fmt.Errorf("mounting the engine's disk: %w", err)
	}
	return dir, nil
}

// unmountEngineDisk also takes away what an interrupted run has left.
func (b *Bed) unmountEngineDisk() {
	_ = unix.Unmount(filepath.Join(b.Scratch, "engine"), unix.MNT_DETACH) // mostly nothing is there
}
