package cmd

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

func newStatusCmd(dockerCLI command.Cli) *cobra.Command {
	var output render.Flags
	cmd := &cobra.Command{
		Use:     "status [OPTIONS] [NAME]",
		Aliases: []string{"ls"},
		Short:   "Show builders, and what they have built",
		Long: `Show one builder with the builds that it has had so far, or without NAME a list of
all builders. LEASE is the process whose end ends the builder, see up --watch-pid, and
what is done then.

A builder whose supervisor died is shown as "dead": down, recover or the next up of that
NAME cleans up after it. If its buildkitd runs on, as one in a container does, it is an
orphan: builds still work, but nobody sees them, and none of them is committed. A
builder whose job ended without down is shown as "ended", with the decision about its
disk.` + cliplugin.ExitStatusHelp("there is no builder NAME"),
		Example: `  docker stickybuilder status
  docker stickybuilder status sticky --format '{{.Summary.CachedSteps}} of {{.Summary.TotalSteps}} steps cached'`,
		Args:              maxOneName,
		ValidArgsFunction: completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := output.Validate(sticky.Status{}); err != nil {
				return cliplugin.Usage(err)
			}
			h, err := host()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return explainRoot(listBuilders(dockerCLI, h, output))
			}
			name, err := nameArg(args)
			if err != nil {
				return err
			}
			return explainRoot(showBuilder(dockerCLI, h, name, output))
		},
	}
	output.AddTo(cmd, "Print only names")
	return cmd
}

func listBuilders(dockerCLI command.Cli, h sticky.Host, f render.Flags) error {
	all, err := h.List()
	if err != nil {
		return err
	}
	if len(all) == 0 && f.Quiet {
		return nil
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name
	}
	return f.Print(dockerCLI.Out(), strings.Join(names, "\n"), all, func(w io.Writer) error {
		if err := statusLine(w, "NAME", "STATE", "UPTIME", "CACHE", "BUILDS", "CACHED", "BUILDKITD", "DISK", "KEY", "REF"); err != nil {
			return err
		}
		for _, s := range all {
			state := s.State
			if s.Orphan {
				state += ", orphan"
			}
			if err := statusLine(w, s.Name, state, uptime(s), dash(s.Cache), buildsSoFar(s.Summary),
				fmt.Sprintf("%d/%d", s.Summary.CachedSteps, s.Summary.TotalSteps), fmt.Sprint(s.BuildkitdPID), s.Disk, s.Key, dash(s.Ref)); err != nil {
				return err
			}
		}
		return nil
	})
}

func showBuilder(dockerCLI command.Cli, h sticky.Host, name string, f render.Flags) error {
	s, err := h.Status(name)
	if err != nil {
		return err
	}
	if s == nil {
		return cliplugin.Negative(fault.Hint(fmt.Errorf("no builder %s is up", name), "bring it up: docker stickybuilder up %s", name))
	}
	return f.Print(dockerCLI.Out(), s.Name, s, func(w io.Writer) error {
		if err := buildsTable(w, s.Builds); err != nil {
			return err
		}
		state := s.State
		switch {
		case s.Orphan:
			state += ": its supervisor died, and buildkitd runs on: docker stickybuilder recover ends it"
		case s.Crash != "":
			state += ": " + s.Crash
		case s.Decision != "":
			state += ": " + string(s.Decision) + ": " + s.Reason
		}
		for _, row := range [][]string{
			{"NAME", s.Name},
			{"STATE", state},
			{"UPTIME", uptime(*s)},
			{"DRIVER", s.Driver},
			{"ENDPOINT", s.Endpoint},
			{"DISK", s.Disk},
			{"KEY", s.Key},
			{"REF", dash(s.Ref)},
			{"GENERATION", dash(s.Generation)},
			{"CACHE", dash(s.Cache)},
			{"CHECKPOINT", checkpoints(s.Checkpoints)},
			{"LEASE", lease(s.Lease)},
			{"BUILDKITD", buildkitd(s)},
			{"SUPERVISOR", fmt.Sprintf("pid %d", s.SupervisorPID)},
			{"LOG", s.Logs[0]},
		} {
			if err := statusLine(w, row...); err != nil {
				return err
			}
		}
		return nil
	})
}

// lease says who is watched, and what happens at its end.
func lease(l *sticky.Lease) string {
	if l == nil {
		return "none: the builder stays until docker stickybuilder down"
	}
	who := fmt.Sprintf("process %d", l.PID)
	if l.Name != "" {
		who = l.Name + ", " + who
	}
	if !l.Alive {
		who += ", which has ended"
	}
	return fmt.Sprintf("%s: at its end, builds get %s, and then down --commit %s", who, time.Duration(l.DrainSeconds*float64(time.Second)), l.Policy)
}

// buildkitd is such as "v0.33.0, overlayfs, pid 42".
func buildkitd(s *sticky.Status) string {
	text := dash(s.BuildkitVersion) + ", " + dash(s.Snapshotter)
	if s.BuildkitdPID != 0 {
		text += fmt.Sprintf(", pid %d", s.BuildkitdPID)
	}
	return text
}

// buildsSoFar is such as "3, 1 running".
func buildsSoFar(t disk.Tally) string {
	if t.Running == 0 {
		return fmt.Sprint(t.Total())
	}
	return fmt.Sprintf("%d, %d running", t.Total(), t.Running)
}

func uptime(s sticky.Status) string {
	return (time.Duration(s.UptimeSeconds) * time.Second).String()
}

func statusLine(w io.Writer, cells ...string) error {
	_, err := fmt.Fprintln(w, strings.Join(cells, "\t"))
	return err
}
