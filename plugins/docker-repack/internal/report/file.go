package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Check tells whether a report can go to a file of this name, before any work is
// done for it.
func Check(name string) error {
	if writer(name) == nil {
		return fault.Hint(errors.New("the name does not tell the format"), "end it in .json or .html")
	}
	switch info, err := os.Stat(filepath.Dir(name)); {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", filepath.Dir(name))
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return errors.New("is a directory")
	}
	return nil
}

func writer(name string) func(io.Writer, *repack.Analysis) error {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return JSON
	case ".html", ".htm":
		return HTML
	}
	return nil
}

// WriteFile writes the report to a file in the format that its name's ending says.
// The file is there whole or not at all.
func WriteFile(name string, a *repack.Analysis) (err error) {
	write := writer(name)
	if write == nil {
		return Check(name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".docker-repack-report-*")
	if err != nil {
		return fmt.Errorf("writing report %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // a second time, perhaps
			os.Remove(f.Name())
			err = fmt.Errorf("writing report %s: %w", name, err)
		}
	}()
	b := bufio.NewWriter(f)
	if err := write(b, a); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// JSON writes the analysis as JSON, as --format json prints it.
func JSON(w io.Writer, a *repack.Analysis) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(a)
}
