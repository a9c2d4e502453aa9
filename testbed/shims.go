package testbed

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// stopShims ends the containers' supervisors that outlived an engine, for
// example one that was killed. Each carries the address of its containerd on
// its command line, and those addresses lie in the testbed's own directory.
func (b *Bed) stopShims() error {
	pids, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	var list fault.List
	for _, dir := range pids {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		p, err := identify(pid)
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !isShimOf(cmdline, b.Run) {
			continue
		}
		if err := p.Stop(5 * time.Second); err != nil {
			list.Add(fmt.Errorf("stopping a container: %w", err))
		}
	}
	return list.Err()
}

// isShimOf tells by its command line whether a process is a containerd shim
// whose containerd listens below dir.
func isShimOf(cmdline []byte, dir string) bool {
	args := bytes.Split(cmdline, []byte{0})
	if !bytes.HasPrefix([]byte(filepath.Base(string(args[0]))), []byte("containerd-shim")) {
		return false
	}
	for i, a := range args[:len(args)-1] {
		if string(a) == "-address" && bytes.HasPrefix(args[i+1], []byte(dir+"/")) {
			return true
		}
	}
	return false
}
