package imagefs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
)

// What one job has written, the next one reads from memory, although the filesystem was
// unmounted in between.
func TestContentsOutliveTheUnmount(t *testing.T) {
	mkfs, err := exec.LookPath("mkfs.btrfs")
	if err != nil || os.Geteuid() != 0 {
		if os.Getenv("DOCKERFACTORY_E2E") == "1" {
			t.Fatalf("this needs root and mkfs.btrfs: %v", err)
		}
		t.Skipf("this needs root and mkfs.btrfs: %v", err)
	}
	dir := t.TempDir()
	p := places{dir, filepath.Join(dir, "pool.img"), filepath.Join(dir, "at"), filepath.Join(dir, "lock")}
	if err := errors.Join(os.Mkdir(p.at, 0o700), Create(t.Context(), p.image, p.at, mkfs)); err != nil {
		t.Fatal(err)
	}
	const size = 32 << 20
	f := p.open(t)
	before := resident(t, p.image)
	if err := os.WriteFile(filepath.Join(p.at, "file"), bytes.Repeat([]byte("x"), size), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(durable.SyncFilesystem(p.at), f.Close()); err != nil || p.isMounted(t) {
		t.Fatalf("%v, still mounted: %v", err, p.isMounted(t))
	}
	if n := resident(t, p.image) - before; n < size/2 {
		t.Errorf("of %d MiB, %d are in memory", size>>20, n>>20)
	}
}

// resident is how much of a file is in memory.
func resident(t *testing.T, path string) (n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	pages := make([]byte, (len(mapped)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapped[0])), uintptr(len(mapped)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range pages {
		n += int(p&1) * os.Getpagesize()
	}
	return n
}
