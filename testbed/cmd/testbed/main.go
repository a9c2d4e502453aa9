// Command testbed makes a bare Debian or Ubuntu machine able to run the suite's
// demo and tests. See testbed/README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	interrupted := ctx.Err() != nil
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "ERROR:", err)
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintf(os.Stderr, "\nhint: %s\n", hint)
	}
	switch {
	case errors.Is(err, errUsage):
		os.Exit(125)
	case interrupted:
		os.Exit(130)
	}
	os.Exit(1)
}
