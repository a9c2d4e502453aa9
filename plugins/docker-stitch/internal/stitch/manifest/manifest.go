// Package manifest is the model of what an image is made from, whichever file
// format it was declared in: packages native and factory make it, the rest of
// docker stitch reads it.
package manifest

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Text is a string and the place where a user wrote it. A zero Text was not
// written.
type Text struct {
	Value string
	At    fault.Position
}

// A Set is all that one file declares.
type Set struct {
	File      string // relative to the project
	Manifests []Manifest
}

// A Manifest declares an image.
type Manifest struct {
	Name      Text
	Base      Text // image that replaces the default of ARG BASE_IMAGE; may be empty
	Template  Text // path of the template in the project
	Fragments []Fragment
	Platforms []Text
	Tags      []Text
	Output    Text // path in the project where "render --write" puts the Dockerfile; may be empty
}

// A Fragment is the use that a manifest makes of a fragment.
type Fragment struct {
	Name    Text
	Version Text
	Dirs    []string // where the fragment may lie, in the order of search
	Order   *int     // overrides the fragment's own, if set
	OrderAt fault.Position
	Params  []Param // in the order of the file
}

// A Param is a value for one of a fragment's parameters.
type Param struct {
	Name  Text
	Value Text
}

var (
	name    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	version = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
)

// CheckName returns an error unless s can be the name of a manifest or fragment.
func CheckName(s string) error {
	if !name.MatchString(s) {
		return fmt.Errorf("name %q has other characters than letters, digits, and . _ - after the first", s)
	}
	return nil
}

// CheckVersion returns an error unless s can be a fragment's version, which is
// also the name of a directory.
func CheckVersion(s string) error {
	if !version.MatchString(s) {
		return fmt.Errorf("version %q has other characters than letters, digits, and . _ + - after the first", s)
	}
	return nil
}

// Names returns the names of all manifests in the order of the file.
func (s Set) Names() []string {
	names := make([]string, len(s.Manifests))
	for i, m := range s.Manifests {
		names[i] = m.Name.Value
	}
	return names
}

// Find returns the manifest called name; with name "", the only one there is.
func (s Set) Find(name string) (Manifest, error) {
	if name == "" {
		if len(s.Manifests) == 1 {
			return s.Manifests[0], nil
		}
		return Manifest{}, fault.Hint(fmt.Errorf("%s has %d manifests", s.File, len(s.Manifests)),
			"name one of: %s", strings.Join(s.Names(), ", "))
	}
	for _, m := range s.Manifests {
		if m.Name.Value == name {
			return m, nil
		}
	}
	err := fmt.Errorf("%s has no manifest called %q", s.File, name)
	if near := fault.Nearest(name, s.Names()); near != "" {
		return Manifest{}, fault.Hint(err, "did you mean %q?", near)
	}
	return Manifest{}, fault.Hint(err, "name one of: %s", strings.Join(s.Names(), ", "))
}
