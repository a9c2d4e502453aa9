package imagefs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// WriteBack makes the kernel begin to write to the disk what it holds of the file in
// memory: what the filesystem in it has written, it keeps there until somebody syncs.
// It waits for nothing, and leaves it to syncs to tell what could not be written.
func (f *FS) WriteBack() error {
	image, err := os.Open(f.image)
	if err != nil {
		return fmt.Errorf("writing back: %w", err)
	}
	defer image.Close()
	if err := unix.SyncFileRange(int(image.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE); err != nil {
		return fmt.Errorf("writing back %s: %w", f.image, err)
	}
	return nil
}
