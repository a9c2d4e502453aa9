// Package command is what the benchmarks' command lines have in common.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Main runs a benchmark until it ends or is interrupted, and exits with the status
// of its outcome: 1 for an error, 130 for an interrupt.
func Main(run func(ctx context.Context, args []string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
	case interrupted:
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		if hint := fault.HintOf(err); hint != "" {
			fmt.Fprintf(os.Stderr, "\nhint: %s\n", hint)
		}
		os.Exit(1)
	}
}

// Log tells on stderr what is done, and at which second since it was made.
func Log() func(format string, args ...any) {
	start := time.Now()
	return func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "[%5s] %s\n", time.Since(start).Round(time.Second), fmt.Sprintf(format, args...))
	}
}

// List splits what was written with commas.
func List(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

// Among fails if something was chosen that there is not.
func Among(what string, chosen, from []string) error {
	for _, s := range chosen {
		if !slices.Contains(from, s) {
			return fault.Hint(fmt.Errorf("choosing %s: there is no %q", what, s), "use any of %s", strings.Join(from, ", "))
		}
	}
	return nil
}

// Named tells whether a name has one of the parts, or whether none were asked for.
func Named(name string, parts []string) bool {
	return len(parts) == 0 || slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
}

// Sizes reads numbers of GB, with commas.
func Sizes(s string) (out []float64, err error) {
	for _, one := range List(s) {
		gb, err := strconv.ParseFloat(one, 64)
		if err != nil || gb <= 0 {
			return nil, fmt.Errorf("choosing sizes: %q is no size in GB", one)
		}
		out = append(out, gb)
	}
	return out, nil
}

// Links reads numbers of Mb/s, with commas.
func Links(s string) (out []int64, err error) {
	for _, one := range List(s) {
		mbps, err := strconv.ParseInt(one, 10, 64)
		if err != nil || mbps <= 0 {
			return nil, fmt.Errorf("choosing links: %q is no speed in Mb/s", one)
		}
		out = append(out, mbps)
	}
	return out, nil
}
