package plugintest

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/docker/cli/cli/command"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// Reference compares the Markdown reference at path with what the command tree
// says, so that help and documentation cannot part. With UPDATE_DOCS set it
// writes the file instead ("make docs").
func Reference(t *testing.T, newRoot func(command.Cli) *cobra.Command, path string) {
	t.Helper()
	cli, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	docker := &cobra.Command{Use: "docker"}
	root := newRoot(cli)
	docker.AddCommand(root)
	var b bytes.Buffer
	writeCommand(&b, root)
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run: make docs", err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("%s does not say what the commands say; run: make docs\n%s", path, diff)
	}
}

func writeCommand(b *bytes.Buffer, cmd *cobra.Command) {
	depth := strings.Count(cmd.CommandPath(), " ")
	fmt.Fprintf(b, "%s %s\n\n", strings.Repeat("#", depth), cmd.CommandPath())
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	body, statuses, _ := strings.Cut(text, "\n\nEXIT STATUS\n")
	fmt.Fprintf(b, "%s\n\n", strings.TrimSpace(body))
	cmd.DisableFlagsInUseLine = true // as in docker's own help
	if cmd.Runnable() {
		fmt.Fprintf(b, "```\n%s\n```\n\n", cmd.UseLine())
	}
	if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(b, "```\n%s```\n\n", flags.FlagUsages())
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "Examples:\n\n```console\n%s\n```\n\n", strings.Trim(cmd.Example, "\n"))
	}
	if statuses != "" {
		fmt.Fprintf(b, "Exit status:\n\n```\n%s\n```\n\n", strings.TrimRight(statuses, "\n"))
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			writeCommand(b, c)
		}
	}
}
