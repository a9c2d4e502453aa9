// Package ci knows what CI systems tell a job about itself: which repository and
// branch it builds, what that is to be merged to, and whether it may come from
// somebody who cannot push to the repository. It reads variables and the event's
// payload through functions, and has none of its own.
package ci

import "strings"

// A Job is what is known of the job that runs now. Where it is not run by a CI
// system that is known here, all is empty.
type Job struct {
	System     string // "github", "gitlab" or, of a pull request from a fork, another one
	Repository string // such as "acme/app"; "" where git is to tell
	Ref        string // what is built: a branch, "tags/v1" or, of a fork, "pull/7"
	Base       string // branch that it is to be merged to
	Default    string // the repository's default branch

	// Untrusted says in words why what is built may be anybody's. A cache that it
	// writes must not be read by others.
	Untrusted string
}

// A Source answers for the environment of the job.
type Source struct {
	Getenv   func(name string) string
	ReadFile func(path string) ([]byte, error) // bounded by its implementation
}

// Detect asks the systems that are known, one after the other.
func Detect(s Source) Job {
	switch {
	case s.Getenv("GITHUB_REPOSITORY") != "":
		return github(s)
	case s.Getenv("CI_PROJECT_PATH") != "":
		return gitlab(s)
	}
	return elsewhere(s)
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func same(a, b string) bool { return strings.EqualFold(a, b) }
