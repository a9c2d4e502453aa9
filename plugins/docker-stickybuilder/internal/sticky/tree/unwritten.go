package tree

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
)

// Unwritten is how many bytes of files this machine has in memory and not on its disks
// yet. What a filesystem says of its free space may leave those out.
func Unwritten() (n int64, err error) {
	const path = "/proc/meminfo" // proc(5): in KiB
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	found := 0
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		var name string
		var kib int64
		if _, err := fmt.Sscan(s.Text(), &name, &kib); err == nil && (name == "Dirty:" || name == "Writeback:") {
			n += kib << 10
			found++
		}
	}
	if found != 2 {
		return 0, fmt.Errorf("reading %s: it does not tell what is not written", path)
	}
	return n, nil
}
