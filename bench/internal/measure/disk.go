package measure

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// DiskUsage returns the bytes that the files below dir take on the disk, hard
// links once. What vanishes meanwhile does not count.
func DiskUsage(dir string) int64 {
	var total int64
	seen := map[[2]uint64]bool{}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // programs remove their files when they like
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		id := [2]uint64{st.Dev, st.Ino}
		if st.Nlink > 1 && seen[id] {
			return nil
		}
		seen[id] = true
		total += st.Blocks * 512
		return nil
	})
	return total
}

// removedFiles returns the bytes of files below dir that pid or a descendant has
// open though their names are gone, as careful programs do with spools.
func removedFiles(pid int, dir string) int64 {
	proc := "/proc/" + strconv.Itoa(pid)
	var total int64
	seen := map[uint64]bool{}
	fds, _ := os.ReadDir(proc + "/fd")
	for _, fd := range fds {
		path := proc + "/fd/" + fd.Name()
		target, err := os.Readlink(path)
		if err != nil || !strings.HasSuffix(target, " (deleted)") || !strings.HasPrefix(target, dir+"/") {
			continue
		}
		var st syscall.Stat_t
		if syscall.Stat(path, &st) == nil && !seen[st.Ino] {
			seen[st.Ino] = true
			total += st.Blocks * 512
		}
	}
	for _, child := range children(proc) {
		total += removedFiles(child, dir)
	}
	return total
}
