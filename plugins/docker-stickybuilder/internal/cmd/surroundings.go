package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ci"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// surroundings are what a job is about unless the user says so.
type surroundings struct {
	key       string   // repository, or else directory
	ref       string   // branch, tag or pull request; "" if there is none
	bases     []string // branches that ref goes back to, the nearest first
	untrusted string   // why anybody may have written what is built; "" if not
}

// look asks the CI system, or else git, about the job in the working directory.
func look(ctx context.Context) (surroundings, error) {
	dir, err := os.Getwd()
	if err != nil {
		return surroundings{}, fault.Hint(fmt.Errorf("looking for the working directory: %w", err), "name a key with --key")
	}
	return lookAt(ctx, dir), nil
}

func lookAt(ctx context.Context, dir string) surroundings {
	job := ci.Detect(ci.Source{Getenv: os.Getenv, ReadFile: readEvent})
	if job.Repository == "" {
		git := fromGit(ctx, dir)
		git.Untrusted, git.Base = job.Untrusted, job.Base
		if job.Ref != "" {
			git.Ref = job.Ref
		}
		job = git
	} else if job.Default == "" {
		job.Default = defaultBranch(ctx, dir)
	}
	s := surroundings{key: disk.CleanKey(job.Repository), untrusted: disk.CleanKey(job.Untrusted)}
	if job.Ref != "" {
		s.ref = disk.CleanKey(job.Ref)
	}
	for _, b := range []string{job.Base, job.Default} {
		if b != "" {
			s.bases = append(s.bases, disk.CleanKey(b))
		}
	}
	return s
}

// maxEvent bounds what is read of an event; GitHub's own bound is 25 MB.
const maxEvent = 32 << 20

func readEvent(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxEvent+1))
	if err == nil && len(text) > maxEvent {
		err = errors.New("it is too long")
	}
	return text, err
}

func fromGit(ctx context.Context, dir string) ci.Job {
	repository := ci.RepositoryName(git(ctx, dir, "config", "--get", "remote.origin.url"))
	if repository == "" {
		repository = git(ctx, dir, "rev-parse", "--show-toplevel")
	}
	if repository == "" {
		return ci.Job{Repository: filepath.ToSlash(dir)}
	}
	return ci.Job{Repository: repository, Ref: git(ctx, dir, "symbolic-ref", "--quiet", "--short", "HEAD"), Default: defaultBranch(ctx, dir)}
}

// defaultBranch is what the remote's HEAD was when it was cloned.
func defaultBranch(ctx context.Context, dir string) string {
	return strings.TrimPrefix(git(ctx, dir, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"), "origin/")
}

// git returns the first line that git prints, "" if there is none.
func git(ctx context.Context, dir string, args ...string) string {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
