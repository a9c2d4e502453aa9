package repack

import (
	"os"

	"golang.org/x/sys/unix"
)

// punch gives the disk under a part of a file back; the part then reads as zeros.
func punch(f *os.File, off, n int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}
