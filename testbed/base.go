package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	// baseRecipe changes when the same sources shall give another image.
	baseRecipe = 1
	baseRepo   = "library/debian"
	baseTag    = "bookworm-slim"
)

// baseImage makes the Debian base once and returns the directory that holds it.
func (b *Bed) baseImage(ctx context.Context) (string, error) {
	m := chooseMirror(hostSources("/etc/apt"))
	sources := sourcesFile(m.sources)
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s\n%s\n%s", baseRecipe, baseSuite, runtime.GOARCH, sources))
	dir := filepath.Join(b.Cache, "base", baseTag+"-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
		return dir, nil
	}
	if os.Geteuid() != 0 {
		return dir, b.baseAsRoot(ctx)
	}
	if err := b.install(ctx, baseNeeds); err != nil {
		return "", err
	}
	work, err := b.workDir("base")
	if err != nil {
		return "", fmt.Errorf("making the Debian base image: %w", err)
	}
	defer b.discard(work)
	if err := b.bootstrap(ctx, filepath.Join(work, "root"), m); err != nil {
		return "", err
	}
	end := b.Log.Step("packing the Debian base image")
	err = packBase(ctx, filepath.Join(work, "root"), filepath.Join(work, "image"), dir, sources)
	end(err)
	return dir, err
}

// workDir gives an empty directory, and removes what a killed run may have
// left; should that run's debootstrap still be dying, the next one gets it.
func (b *Bed) workDir(name string) (string, error) {
	parent := filepath.Join(b.Cache, "work")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	left, err := filepath.Glob(filepath.Join(parent, name+"-*"))
	if err != nil {
		return "", err
	}
	for _, dir := range left {
		b.discard(dir)
	}
	dir, err := os.MkdirTemp(parent, name+"-*")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// discard removes a directory that is in nobody's way if it stays.
func (b *Bed) discard(dir string) {
	if err := b.removeTree(dir); err != nil {
		b.Log.Say("leaving %s for later: %v", dir, err)
	}
}

func (b *Bed) bootstrap(ctx context.Context, root string, m mirror) (err error) {
	end := b.Log.Step("making a Debian %s base from %s", baseSuite, withoutUser(m.uri))
	defer func() { end(err) }()
	debootstrap, _ := lookPath("debootstrap")
	argv := []string{debootstrap, "--variant=minbase", "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg"}
	if strings.HasPrefix(m.uri, "https:") {
		argv = append(argv, "--include=ca-certificates")
	}
	if err := asRoot(ctx, "/", aptEnv, append(argv, baseSuite, root, m.uri)...); err != nil {
		return fmt.Errorf("making a Debian base: %w", err)
	}
	return nil
}

func packBase(ctx context.Context, root, image, dir, sources string) error {
	newest, err := releaseDate(root)
	if err != nil {
		return err
	}
	if err := slim(root, sources); err != nil {
		return err
	}
	if err := writeImage(ctx, image, root, newest); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("keeping the Debian base image: %w", err)
	}
	os.RemoveAll(dir)
	if err := os.Rename(image, dir); err != nil {
		return fmt.Errorf("keeping the Debian base image: %w", err)
	}
	return nil
}

// baseAsRoot has a second testbed make the image: debootstrap's tree has owners
// and modes that only root may make, and read.
func (b *Bed) baseAsRoot(ctx context.Context) (err error) {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("making the Debian base image: %w", err)
	}
	end := b.Log.Step("making a Debian %s base image by sudo", baseSuite)
	defer func() { end(err) }()
	return asRoot(ctx, b.Source, []string{"DOCKERFACTORY_CACHE=" + b.Cache, "PATH=" + os.Getenv("PATH")}, self, "base")
}

// MakeBase makes the Debian base image if it is not in the cache, and does
// nothing else. Only root may.
func (b *Bed) MakeBase(ctx context.Context) error {
	if err := needRoot("making the Debian base image"); err != nil {
		return err
	}
	unlock, err := lock(ctx, filepath.Join(b.Cache, "base", ".lock"), b.Log)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = b.baseImage(ctx)
	return err
}
