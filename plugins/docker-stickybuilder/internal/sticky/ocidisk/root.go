package ocidisk

import (
	"fmt"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

// notState reports whether a path below a BuildKit root is nothing that the next job
// needs: locks, rescued databases, mount points, and what overlayfs keeps in work
// directories, which it makes anew.
func notState(path string) bool {
	part := strings.Split(path, "/")
	name := part[len(part)-1]
	switch {
	case len(part) == 1:
		return name == "buildkitd.lock" || strings.HasSuffix(name, ".bak")
	case len(part) == 2:
		return strings.HasSuffix(name, ".bak")
	case len(part) == 3:
		return part[1] == "executor" || part[1] == "cachemounts"
	case len(part) == 6:
		return part[1] == "snapshots" && part[2] == "snapshots" && part[4] == "work"
	}
	return false
}

// checkRoot refuses a tree that has anything but files and directories where buildkitd
// itself opens, makes and removes them: by a link there it would do so elsewhere on this
// machine. What is in a snapshot is a build's, and only ever seen from inside.
func checkRoot(t *treeindex.Tree) error {
	for i := range t.Entries {
		e := &t.Entries[i]
		kind := e.Kind
		if kind == treeindex.Hardlink {
			kind = t.Find(e.Target).Kind
		}
		switch kind {
		case treeindex.File, treeindex.Dir, treeindex.Socket:
			continue
		}
		if !inSnapshot(e.Path) {
			return fmt.Errorf("%q: there is no file or directory, but a link, device or fifo", e.Path)
		}
	}
	return nil
}

// inSnapshot reports whether a path is of a root filesystem that a build sees. The native
// snapshotter has that in the snapshot's directory, and all others in fs below it.
func inSnapshot(path string) bool {
	part := strings.SplitN(path, "/", 6)
	if len(part) < 5 || part[1] != "snapshots" || part[2] != "snapshots" {
		return false
	}
	return strings.HasSuffix(part[0], "-native") || (len(part) == 6 && part[4] == "fs")
}

// endsDatabases reports whether a path is the last database of a worker: what follows in
// a tree are snapshots, which change less often.
func endsDatabases(path string) bool {
	part := strings.Split(path, "/")
	return len(part) == 3 && part[1] == "snapshots" && part[2] == "metadata.db"
}

// classOf tells how a file below a BuildKit root is cut: the content store has
// compressed layers, and bolt databases change page by page.
func classOf(path string) chunk.Class {
	part := strings.Split(path, "/")
	switch {
	case len(part) == 6 && part[1] == "content" && part[2] == "blobs", len(part) == 5 && part[1] == "content" && part[2] == "blobs":
		return chunk.Blob
	case len(part) <= 2 && strings.HasSuffix(path, ".db"), len(part) == 3 && part[1] == "snapshots" && strings.HasSuffix(path, ".db"):
		return chunk.Database
	}
	return chunk.Files
}
