package cmd

import (
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ci"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

const (
	watchAuto = "auto"
	watchNone = "none"
)

func addWatchFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "watch-pid", watchAuto, `Process whose end ends the builder: a PID, "none", or "auto" for the CI runner above this command`)
	_ = cmd.RegisterFlagCompletionFunc("watch-pid", cobra.FixedCompletions([]string{watchAuto, watchNone}, cobra.ShellCompDirectiveNoFileComp))
}

// watch finds the process for which the builder is there. Without a runner that is
// known there is none: a shell that ends says nothing about the job.
func watch(value string, up *sticky.UpOptions) error {
	switch value {
	case watchNone:
		return nil
	case watchAuto:
		for _, a := range process.Ancestors(os.Getpid()) {
			if ci.IsRunner(a.Name) {
				up.Job, up.JobName = a.ID, a.Name
				return nil
			}
		}
		return nil
	}
	pid, err := strconv.Atoi(value)
	if err != nil || pid <= 0 {
		return cliplugin.Usage(fault.Hint(fmt.Errorf("parsing --watch-pid %q: it is no number", value), `give a PID, "auto" or "none"`))
	}
	if up.Job, err = process.Identify(pid); err != nil || !up.Job.Alive() {
		return fault.Hint(fmt.Errorf("watching process %d: there is no such process", pid), `in a script, name the script itself: --watch-pid $$`)
	}
	up.JobName = process.Name(pid)
	return nil
}
