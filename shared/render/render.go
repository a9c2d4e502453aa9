// Package render prints a command's result on stdout: as a table, as JSON, by a
// Go template, or, with --quiet, as the one identifier that a script wants.
package render

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/docker/cli/templates"
	"github.com/spf13/cobra"
)

// Flags are --format and --quiet of one command.
type Flags struct {
	Format string // "table" (or ""), "json", or a Go template
	Quiet  bool
}

// AddTo adds --format and, if quiet is not "", --quiet to cmd; quiet says what
// is printed then, such as "Print only the digest".
func (f *Flags) AddTo(cmd *cobra.Command, quiet string) {
	cmd.Flags().StringVar(&f.Format, "format", "table", `Format of the output: "table", "json", or a Go template`)
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	if quiet != "" {
		cmd.Flags().BoolVarP(&f.Quiet, "quiet", "q", false, quiet)
	}
}

// Validate checks the template before any work is done: its syntax and, for each
// of the results, which are of the types that Print will be given, that the fields
// it names exist.
func (f Flags) Validate(results ...any) error {
	t, err := f.template()
	if err != nil || t == nil {
		return err
	}
	for _, r := range results {
		if err := checkFields(t, reflect.TypeOf(r)); err != nil {
			return fmt.Errorf("checking --format %q: %w", f.Format, err)
		}
	}
	return nil
}

func (f Flags) template() (templateExecutor, error) {
	switch f.Format {
	case "", "table", "json":
		return nil, nil
	}
	t, err := templates.Parse(f.Format)
	if err != nil {
		return nil, fmt.Errorf("parsing --format %q: %w", f.Format, err)
	}
	return t, nil
}

type templateExecutor interface{ Execute(io.Writer, any) error }

// Print writes data to w as the flags ask. id is what --quiet prints; table
// writes the human-readable form, with tab-separated cells.
//
// JSON is indented and ends in a newline; a template is executed once, or for
// each element when data is a slice, each result on a line of its own.
func (f Flags) Print(w io.Writer, id string, data any, table func(io.Writer) error) error {
	if f.Quiet {
		_, err := fmt.Fprintln(w, id)
		return err
	}
	switch f.Format {
	case "", "table":
		tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		if err := table(tw); err != nil {
			return err
		}
		return tw.Flush()
	case "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(data)
	}
	t, err := f.template()
	if err != nil {
		return err
	}
	return executeEach(w, t, data)
}

func executeEach(w io.Writer, t templateExecutor, data any) error {
	items := []any{data}
	if v := reflect.ValueOf(data); v.Kind() == reflect.Slice {
		items = items[:0]
		for i := range v.Len() {
			items = append(items, v.Index(i).Interface())
		}
	}
	for _, item := range items {
		var b strings.Builder
		if err := t.Execute(&b, item); err != nil {
			return fmt.Errorf("executing --format template: %w", err)
		}
		if _, err := fmt.Fprintln(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}
