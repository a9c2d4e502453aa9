package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/testbed"
)

const usage = `Usage: testbed COMMAND [OPTIONS]

Makes a bare Debian or Ubuntu machine able to run the suite's demo and tests.

Commands:
  up [--profile demo|test] [--own-engine] [--old-engine] [--podman]
                      install, build and start what is missing
  down [--purge]      stop what was started; --purge also removes its data
  env                 print what is up as shell exports, for eval
  status              show what runs
  tools [NAME...]     build the named tools, or all, and print their paths
`

var errUsage = errors.New("reading the command line")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usageError("no command given")
	}
	dirs, err := testbed.DefaultDirs(os.Getenv)
	if err != nil {
		return err
	}
	bed := testbed.Open(dirs, os.Stderr, os.Getenv)
	rest := args[1:]
	switch args[0] {
	case "up":
		return up(ctx, bed, rest)
	case "down":
		return down(ctx, bed, rest)
	case "env":
		return env(ctx, dirs, rest)
	case "status":
		if len(rest) > 0 {
			return usageError("status takes no arguments")
		}
		return bed.Status(os.Stdout)
	case "tools":
		return tools(ctx, bed, rest)
	case "base":
		return bed.MakeBase(ctx)
	case "forward":
		return forward(ctx, rest)
	case "runc":
		return testbed.RunRunc(rest)
	case "help", "--help", "-h":
		fmt.Print(usage)
		return nil
	}
	return usageError("there is no command %q", args[0])
}

func up(ctx context.Context, bed *testbed.Bed, args []string) error {
	fs := newFlags("up")
	profile := fs.String("profile", string(testbed.Demo), "")
	own := fs.Bool("own-engine", false, "")
	old := fs.Bool("old-engine", false, "")
	podman := fs.Bool("podman", false, "")
	if err := parse(fs, args); err != nil {
		return err
	}
	p, err := testbed.ParseProfile(*profile)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	bed.OwnEngine = *own
	if _, err := bed.Up(ctx, p); err != nil {
		return err
	}
	if *old {
		if _, err := bed.StartOldEngine(ctx); err != nil {
			return err
		}
	}
	if *podman {
		_, err = bed.UnpackPodman(ctx)
	}
	return err
}

func down(ctx context.Context, bed *testbed.Bed, args []string) error {
	fs := newFlags("down")
	purge := fs.Bool("purge", false, "")
	if err := parse(fs, args); err != nil {
		return err
	}
	return bed.Down(ctx, *purge)
}

// env takes --profile so that a script can pass the same options to up and env.
func env(ctx context.Context, dirs testbed.Dirs, args []string) error {
	fs := newFlags("env")
	fs.String("profile", string(testbed.Demo), "")
	if err := parse(fs, args); err != nil {
		return err
	}
	e, err := dirs.Env(ctx)
	if err != nil {
		return err
	}
	fmt.Print(e.Exports(os.Getenv("PATH")))
	return nil
}

func tools(ctx context.Context, bed *testbed.Bed, names []string) error {
	if len(names) == 0 {
		names = testbed.ToolNames()
	}
	paths, err := bed.Build(ctx, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		fmt.Println(paths[name])
	}
	return nil
}

// forward is started by up itself.
func forward(ctx context.Context, args []string) error {
	fs := newFlags("forward")
	netns := fs.String("netns", "", "")
	addr := fs.String("addr", "", "")
	if err := parse(fs, args); err != nil {
		return err
	}
	return testbed.Forward(ctx, *netns, *addr)
}

func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(&strings.Builder{})
	return fs
}

func parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return usageError("%s: %v", fs.Name(), err)
	}
	if fs.NArg() > 0 {
		return usageError("%s takes no arguments", fs.Name())
	}
	return nil
}

func usageError(format string, args ...any) error {
	return fault.Hint(fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...)), "run testbed help")
}
