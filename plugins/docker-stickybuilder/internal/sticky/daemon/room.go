package daemon

import (
	"fmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
)

// What a daemon needs to start, and a small build to run.
const (
	leastBytes  = 64 << 20
	leastInodes = 256
)

// Room says what a filesystem lacks for a daemon's state; nil if it will do. What is
// reserved for root counts.
func Room(s tree.Space) error {
	switch free := s.Bytes + s.Reserved; {
	case free < 1<<20:
		return fmt.Errorf("%d KiB are free, and a builder needs %d MiB", free>>10, leastBytes>>20)
	case free < leastBytes:
		return fmt.Errorf("%d MiB are free, and a builder needs %d", free>>20, leastBytes>>20)
	case s.Inodes >= 0 && s.Inodes < leastInodes:
		return fmt.Errorf("%d inodes are free, and a builder needs %d", s.Inodes, leastInodes)
	}
	return nil
}
