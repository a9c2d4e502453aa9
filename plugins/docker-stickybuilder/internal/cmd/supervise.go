package cmd

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

const superviseVerb = "supervise"

// newSuperviseCmd is what up starts in the background; nobody calls it by hand.
func newSuperviseCmd(command.Cli) *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:    superviseVerb + " NAME",
		Short:  "Run a builder's daemon (started by up)",
		Hidden: true,
		Args:   cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// The first signal cancels the context. Those that follow, from a
			// second down, must not end the process while it commits.
			signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
			asked := make(chan os.Signal, 1)
			signal.Notify(asked, syscall.SIGUSR1)
			h, err := host()
			if err != nil {
				return err
			}
			h.State = instance.State(state)
			return h.Supervise(cmd.Context(), args[0], inherited(sticky.ReadyFD, "ready"), inherited(sticky.LockFD, "lock"), asked, os.Stderr)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "State directory")
	_ = cmd.MarkFlagRequired("state")
	return cmd
}

// inherited takes over a descriptor, and keeps it from further children.
func inherited(fd uintptr, name string) *os.File {
	unix.CloseOnExec(int(fd))
	return os.NewFile(fd, name)
}
