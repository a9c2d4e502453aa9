// Package runner holds what the runners have in common: the image that they are
// made for.
package runner

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
)

// A Subject is the image that processes are run in.
type Subject struct {
	// Reference is "repository@sha256:…", the digest being the manifest's; ""
	// for an image that is not in a registry.
	Reference string
	// Layout is the OCI layout directory of such an image.
	Layout   string
	Manifest v1.Hash
	Config   v1.Hash
	Image    v1.Config // entry point, environment, user and so on
	Platform v1.Platform
}

// String names the subject in messages.
func (s Subject) String() string {
	if s.Reference == "" {
		return "oci://" + s.Layout + "@" + s.Manifest.String()
	}
	return s.Reference
}

// StartFailure tells from a runtime's message whether a process could not be
// started for a reason that lies in the image, and the exit status that stands
// for it.
func StartFailure(message string) (int, bool) {
	for _, s := range []string{"executable file not found", "no such file or directory"} {
		if strings.Contains(message, s) {
			return smoke.ExitNotFound, true
		}
	}
	for _, s := range []string{"permission denied", "is a directory", "exec format error"} {
		if strings.Contains(message, s) {
			return smoke.ExitNotExecutable, true
		}
	}
	return 0, false
}

// defaultPath is what engines give images that set no PATH.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Environ is the image's environment with more on top.
func (s Subject) Environ(more []string) []string {
	env := slices.Clone(s.Image.Env)
	if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
		env = append([]string{defaultPath}, env...)
	}
	for _, m := range more {
		name, _, _ := strings.Cut(m, "=")
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		env = append(env, m)
	}
	return env
}
