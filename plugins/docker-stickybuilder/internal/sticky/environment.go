package sticky

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A CI system reads a file of NAME=value lines after each step and sets them for
// the steps that follow. GitHub gives each step a file of its own, so the one
// that up wrote to is gone or read already when down comes.

// checkEnv reports why the file could not be written, before anything is done.
func checkEnv(f *instance.EnvFile) error {
	if f == nil {
		return nil
	}
	file, err := os.OpenFile(f.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		if f.Named {
			return fault.Hint(envError(err), "name a file that can be written with --env-file")
		}
		return fault.Hint(envError(err), "unset GITHUB_ENV, or leave the environment alone with --no-use")
	}
	return file.Close()
}

func envError(err error) error { return fmt.Errorf("setting BUILDX_BUILDER for later steps: %w", err) }

// setEnv appends BUILDX_BUILDER to a file that is there.
func setEnv(path, value string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return envError(err)
	}
	defer f.Close()
	line := "BUILDX_BUILDER=" + value + "\n"
	if end, err := f.Seek(0, io.SeekEnd); err == nil && end > 0 {
		// What another program wrote last may be an unfinished line.
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := f.WriteString(line); err != nil {
		return envError(err)
	}
	return f.Close()
}

// restoreEnv sets BUILDX_BUILDER to what it was before up: in now, the file of the
// present step, or else in the one that up wrote to, if there still is one.
func restoreEnv(f *instance.EnvFile, now string) error {
	if f == nil {
		return nil
	}
	if f.Named {
		now = "" // it is no step's
	}
	err := setEnv(first(now, f.Path), f.Previous)
	if now == "" && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
