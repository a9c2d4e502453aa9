// Package builderstore enters builders into the user's buildx store, so that
// docker buildx build, bake and compose use them with no change, and takes them
// out again.
package builderstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker/buildx/store"
	"github.com/docker/buildx/util/confutil"
	"github.com/opencontainers/go-digest"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// ErrForeign means that a name belongs to somebody else's builder.
var ErrForeign = errors.New("the name is taken")

// maxName leaves room in a file's name for what the store and a node's name add.
const maxName = 128

// ValidateName returns the name as the store spells it, or an error for one that
// it does not take.
func ValidateName(name string) (string, error) {
	if len(name) > maxName {
		return "", fault.Hint(fmt.Errorf("invalid builder name %.20q…: %d characters", name, len(name)), "use %d at the most", maxName)
	}
	n, err := store.ValidateName(name)
	if err != nil {
		return "", fault.Hint(fmt.Errorf("invalid builder name %q", name), "begin with a letter; letters, digits, . _ and - may follow")
	}
	return n, nil
}

// A Store is a user's buildx store.
type Store struct {
	config *confutil.Config
	store  *store.Store
}

// Open opens the store in dir, an absolute path, and makes it if there is none.
func Open(dir string) (*Store, error) {
	config := confutil.NewConfig(nil, confutil.WithDir(dir))
	s, err := store.New(config)
	if err != nil {
		return nil, fmt.Errorf("opening buildx store %s: %w", dir, err)
	}
	return &Store{config, s}, nil
}

// Dir is where the store is.
func (s *Store) Dir() string { return s.config.Dir() }

func (s *Store) locked(fn func(*store.Txn) error) error {
	txn, release, err := s.store.Txn()
	if err != nil {
		return err
	}
	defer release()
	return fn(txn)
}

// Check fails with ErrForeign if name is a builder other than the one at
// endpoint. reserved are names that docker gives to other things.
func (s *Store) Check(name, endpoint string, reserved []string) error {
	for _, r := range reserved {
		if r == name {
			return foreign(name, "a docker context")
		}
	}
	return s.locked(func(txn *store.Txn) error { return check(txn, name, endpoint) })
}

func check(txn *store.Txn, name, endpoint string) error {
	group, err := txn.NodeGroupByName(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading builder %s: %w", name, err)
	}
	if !ours(group, endpoint) {
		return foreign(name, fmt.Sprintf("a builder with the %s driver", group.Driver))
	}
	return nil
}

func foreign(name, what string) error {
	return fault.Hint(fmt.Errorf("using the name %q: %w: %s has it already", name, ErrForeign, what),
		"choose another one: docker stickybuilder up NAME")
}

// Register enters the builder. If use is not nil, it becomes current for the
// docker endpoint *use, and what was current before is returned for Unregister.
func (s *Store) Register(e Entry, use *string) (*instance.Current, error) {
	name := e.Name
	group, err := e.group()
	if err != nil {
		return nil, fmt.Errorf("registering builder %s: %w", name, err)
	}
	var previous *instance.Current
	err = s.locked(func(txn *store.Txn) error {
		if err := check(txn, name, e.Endpoint); err != nil {
			return err
		}
		if err := txn.Save(group); err != nil {
			return fmt.Errorf("registering builder %s: %w", name, err)
		}
		if use == nil {
			return nil
		}
		p, err := s.current(*use)
		if err != nil {
			return err
		}
		previous = p
		if err := txn.SetCurrent(*use, name, false, false); err != nil {
			return fmt.Errorf("making builder %s current: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return previous, nil
}

// Unregister takes the builder out if it still is the one at endpoint, and makes
// current what was so before, unless the user chose another builder meanwhile.
// A builder that is not there is no error.
func (s *Store) Unregister(name, endpoint string, previous *instance.Current) error {
	return s.locked(func(txn *store.Txn) error {
		group, err := txn.NodeGroupByName(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("reading builder %s: %w", name, err)
		case !ours(group, endpoint):
			return nil
		}
		now, err := s.current("")
		if err != nil {
			return err
		}
		if err := txn.Remove(name); err != nil {
			return fmt.Errorf("removing builder %s: %w", name, err)
		}
		if now.Name != name {
			return nil
		}
		if previous == nil {
			previous = &instance.Current{Key: now.Key, Used: now.Key}
		}
		return s.restore(txn, previous)
	})
}

func (s *Store) restore(txn *store.Txn, p *instance.Current) error {
	name := p.Name
	if name != "" {
		if _, err := txn.NodeGroupByName(name); err != nil {
			name = "" // removed meanwhile
		}
	}
	// Not by SetCurrent, which would remove a default.
	file, err := json.Marshal(currentFile{Key: p.Key, Name: name, Global: p.Global && name != ""})
	if err != nil {
		return err
	}
	if err := s.config.AtomicWriteFile("current", file, 0o600); err != nil {
		return fmt.Errorf("restoring the current builder: %w", err)
	}
	if p.Default == "" {
		return nil
	}
	if err := s.config.AtomicWriteFile(defaultFile(p.Used), []byte(p.Default), 0o600); err != nil {
		return fmt.Errorf("restoring the default builder: %w", err)
	}
	return nil
}

// currentFile is buildx's own form of its file "current".
type currentFile struct {
	Key    string
	Name   string
	Global bool
}

// current reads what buildx itself only tells in part: the choice as it was
// made, and the default of the endpoint, which making a builder current removes.
func (s *Store) current(endpoint string) (*instance.Current, error) {
	c := &instance.Current{Used: endpoint}
	data, err := os.ReadFile(filepath.Join(s.Dir(), "current"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		var file currentFile
		if err := json.Unmarshal(data, &file); err != nil {
			return nil, fmt.Errorf("reading the current builder: %w", err)
		}
		c.Key, c.Name, c.Global = file.Key, file.Name, file.Global
	}
	def, err := os.ReadFile(filepath.Join(s.Dir(), defaultFile(endpoint)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	c.Default = string(def)
	return c, nil
}

func defaultFile(endpoint string) string {
	return filepath.Join("defaults", digest.FromString(endpoint).Encoded()[:20])
}
