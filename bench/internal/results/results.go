// Package results keeps the figures of a benchmark from run to run.
package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Read reads the raw figures of an earlier run, of which a partial run keeps the
// rest: the zero value if there was none.
func Read[T any](path string) (*T, error) {
	r := new(T)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading earlier results: %w", err)
	}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("reading earlier results in %s: %w", path, err)
	}
	return r, nil
}

// Write writes the raw figures, as JSON, and the report that was made of them.
func Write(figures any, jsonPath, report, reportPath string) error {
	text, err := json.MarshalIndent(figures, "", " ")
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	if err := os.WriteFile(jsonPath, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	if err := os.WriteFile(reportPath, []byte(report), 0o644); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

// Replace puts one in the place of the earlier one that is the same thing, or at the
// end.
func Replace[T any](all []T, one T, same func(T) bool) []T {
	if i := slices.IndexFunc(all, same); i >= 0 {
		all[i] = one
		return all
	}
	return append(all, one)
}
