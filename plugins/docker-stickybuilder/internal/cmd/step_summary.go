package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/summary"
)

// appendSummary adds the report to a file that GitHub shows beside the job, and that
// other parts of the same step may have written to. The whole is kept to what GitHub
// takes.
func appendSummary(path string, r *sticky.Report) error {
	err := appendMarkdown(path, r)
	if err != nil {
		return fmt.Errorf("appending to the step's summary %s: %w", path, err)
	}
	return nil
}

func appendMarkdown(path string, r *sticky.Report) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return errors.New("it is not a regular file") // to open a pipe would wait for its reader
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if size := info.Size(); size > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			text.WriteByte('\n')
		}
		text.WriteByte('\n') // ends a table, or a paragraph
	}
	if err := summary.Markdown(&text, r, summary.MaxBytes-int(min(info.Size(), summary.MaxBytes))-text.Len()); err != nil {
		return err
	}
	if _, err := f.Write(text.Bytes()); err != nil {
		return err
	}
	return f.Close()
}
