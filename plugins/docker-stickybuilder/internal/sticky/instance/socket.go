package instance

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
)

// maxSocket is what fits for a directory: containerd's listeners, buildkitd's among
// them, take 104 bytes on every system, as Darwin's sockaddr_un does.
const maxSocket = 104 - len("/buildkitd.sock")

// shortDirs is where sockets go if the state's path is too long for one.
const shortDirs = "/run/docker-stickybuilder"

// Socket is the path of the daemon's API socket.
func (d Dir) Socket() string { return filepath.Join(d.socketDir(), "buildkitd.sock") }

// TraceSocket is the path of the daemon's socket for traces.
func (d Dir) TraceSocket() string { return filepath.Join(d.socketDir(), "otel.sock") }

func (d Dir) socketDir() string {
	if dir := d.File("run"); len(dir) <= maxSocket {
		return dir
	}
	return filepath.Join(shortDirs, d.sum()) // without the name, which may be long
}

// MakeSocketDir makes an empty directory for the sockets, which only its owner
// may enter.
func (d Dir) MakeSocketDir() error {
	dir := d.socketDir()
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o700)
}

// RemoveSocketDir removes the sockets and their directory.
func (d Dir) RemoveSocketDir() error {
	err := os.RemoveAll(d.socketDir())
	_ = os.Remove(shortDirs) // if it is empty now
	return err
}

// Cgroup is the path of the control group for the instance's RUN processes.
func (d Dir) Cgroup() string { return "/docker-stickybuilder/" + d.id() }

// id tells apart builders of one NAME that live in different states.
func (d Dir) id() string {
	return filepath.Base(string(d)) + "-" + d.sum()
}

func (d Dir) sum() string {
	sum := sha256.Sum256([]byte(d))
	return hex.EncodeToString(sum[:6])
}
