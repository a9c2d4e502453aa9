package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
)

// KeptReports is how many reports are kept of builders of one NAME.
const KeptReports = 20

func (s State) reports(name string) string { return filepath.Join(string(s), "reports", name) }

// KeepReport keeps the report of a builder that has ended beside those of earlier
// ones, and removes the oldest that are too many. id is that of the builder's working
// copy: ids sort by time.
func (s State) KeepReport(name, id string, report any) error {
	dir := s.reports(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keeping the report: %w", err)
	}
	if err := durable.WriteJSON(filepath.Join(dir, id+".json"), report, 0o600); err != nil {
		return fmt.Errorf("keeping the report: %w", err)
	}
	files, err := s.Reports(name)
	for i := KeptReports; i < len(files); i++ {
		err = errors.Join(err, os.Remove(files[i]))
	}
	return err
}

// Reports lists the files of the reports that are kept of a NAME, the newest first.
func (s State) Reports(name string) ([]string, error) {
	entries, err := os.ReadDir(s.reports(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(s.reports(name), e.Name()))
		}
	}
	slices.Sort(files)
	slices.Reverse(files)
	return files, err
}

// Reported lists the names of which there are reports, sorted.
func (s State) Reported() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(string(s), "reports"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}
