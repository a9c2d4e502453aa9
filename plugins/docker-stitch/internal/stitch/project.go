// Package stitch renders Dockerfiles from manifests.
//
// A [Project] is a directory with declared images. [Project.Render] takes one
// manifest, its template and its fragments, and returns a Dockerfile, the manifest
// id, which is the digest of every input, and the map from lines to sources. What
// was rendered once can be verified against the sources at any time:
// [Project.VerifyFile], [Project.VerifyID].
//
// It runs no build and reaches no network.
package stitch

import (
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/factory"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/native"
)

// A Project is a directory, which is the build context too, and the manifests
// that are declared in it. Close it after use.
type Project struct {
	Tree *files.Tree
	Set  manifest.Set
}

// OpenNative opens the project whose stitch.yaml is file, a path below dir.
func OpenNative(dir, display, file string) (*Project, error) {
	return open(dir, display, func(t *files.Tree) (manifest.Set, error) { return native.Load(t, file) })
}

// OpenFactory opens a checkout of the Factory layout in dir.
func OpenFactory(dir, display string, layout factory.Layout) (*Project, error) {
	return open(dir, display, func(t *files.Tree) (manifest.Set, error) { return factory.Load(t, layout) })
}

func open(dir, display string, load func(*files.Tree) (manifest.Set, error)) (*Project, error) {
	tree, err := files.Open(dir, display)
	if err != nil {
		return nil, err
	}
	set, err := load(tree)
	if err != nil {
		_ = tree.Close()
		return nil, err
	}
	return &Project{Tree: tree, Set: set}, nil
}

// Close releases the directory.
func (p *Project) Close() error { return p.Tree.Close() }
