package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/cli/cli/command"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ci"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/summary"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// degraded makes the result of an up that has failed, and says so where nobody can
// miss it; nil if the error is not to be forgiven: a mistake on the command line, or
// the user's own interruption.
func (o upOptions) degraded(ctx context.Context, dockerCLI command.Cli, err error) *sticky.Upped {
	var status interface{ ExitStatus() int }
	if !o.degradedOK || ctx.Err() != nil || (errors.As(err, &status) && status.ExitStatus() == cliplugin.StatusUsage) {
		return nil
	}
	u := &sticky.Upped{Mode: sticky.ModeDegraded, Reason: oneLine(err.Error())}
	fmt.Fprintf(dockerCLI.Err(), "WARNING: builds go on without the builder %s: %s\n", o.name, u.Reason)
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintf(dockerCLI.Err(), "hint: %s\n", hint)
	}
	if os.Getenv("GITHUB_ACTIONS") == "true" {
		fmt.Fprintf(dockerCLI.Err(), "::warning title=docker stickybuilder::%s\n", ci.Escape("builds go on without the sticky builder: "+u.Reason))
	}
	return u
}

// announce tells the CI system how it went: the step's outputs, and in degraded mode
// the job's summary.
func (o upOptions) announce(u *sticky.Upped) error {
	if path := os.Getenv("GITHUB_OUTPUT"); path != "" {
		var b strings.Builder
		for _, v := range [][2]string{{"mode", u.Mode}, {"reason", u.Reason}, {"name", u.Name}, {"driver", u.Driver}, {"endpoint", u.Endpoint}, {"cache", u.Cache}, {"generation", u.Generation}} {
			fmt.Fprintf(&b, "%s=%s\n", v[0], oneLine(v[1]))
		}
		if err := appendTo(path, b.String()); err != nil {
			return fmt.Errorf("writing the step's outputs: %w", err)
		}
	}
	if path := os.Getenv("GITHUB_STEP_SUMMARY"); path != "" && u.Mode == sticky.ModeDegraded {
		text := fmt.Sprintf("> [!WARNING]\n> The sticky builder `%s` could not be had, and builds go on without its cache: %s\n\n", o.name, summary.Escape(u.Reason))
		if err := appendTo(path, text); err != nil {
			return fmt.Errorf("writing the job's summary: %w", err)
		}
	}
	return nil
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	// What another program wrote last may be an unfinished line.
	if end, err := f.Seek(0, io.SeekEnd); err == nil && end > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			text = "\n" + text
		}
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
