package cliplugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/docker/cli/cli"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func TestReport(t *testing.T) {
	a := fault.At(fault.Position{File: "stitch.yaml", Line: 3, Column: 5}, errors.New("unknown key \"bse\""))
	tests := map[string]struct {
		err    error
		status int
		text   string
	}{
		"none":     {nil, 0, ""},
		"plain":    {errors.New("pushing x: denied"), 1, "ERROR: pushing x: denied\n"},
		"hint":     {fmt.Errorf("dialing: %w", fault.Hint(errors.New("refused"), "start it")), 1, "ERROR: dialing: refused\n\nhint: start it\n"},
		"negative": {Negative(errors.New("drift")), 3, "ERROR: drift\n"},
		"usage":    {Usage(errors.New("needs an argument")), 125, "ERROR: needs an argument\n"},
		"flag":     {cli.StatusError{Status: "unknown flag: --x", StatusCode: 125}, 125, "ERROR: unknown flag: --x\n"},
		"canceled": {fmt.Errorf("solving: %w", context.Canceled), 130, "ERROR: interrupted\n"},
		"signal":   {interrupted{errors.New("read: closed pipe")}, 130, "ERROR: interrupted\n"},
		"list": {
			Negative(errors.Join(a, fault.Hint(errors.New("two"), "mend it"))), 3,
			"ERROR: stitch.yaml:3:5: unknown key \"bse\"\nERROR: two\n\nhint: mend it\n",
		},
		"escapes":                             {fault.Hint(errors.New("reading \x1b[2Ja\rb\u202e\u009b:\n\tnö"), "\x07x"), 1, "ERROR: reading \\x1b[2Ja\\rb\\u202e\\u009b:\n\tnö\n\nhint: \\ax\n"},
		"format with two causes is one error": {fmt.Errorf("reading %w and %w", errors.New("a"), errors.New("b")), 1, "ERROR: reading a and b\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if got := report(&out, tt.err); got != tt.status {
				t.Errorf("status = %d, want %d", got, tt.status)
			}
			if out.String() != tt.text {
				t.Errorf("got %q\nwant %q", out.String(), tt.text)
			}
		})
	}
}

func TestStandaloneArgs(t *testing.T) {
	for _, tt := range []struct{ in, want []string }{
		{[]string{"docker-stitch"}, []string{"docker-stitch", "stitch"}},
		{[]string{"docker-stitch", "render", "-o", "x"}, []string{"docker-stitch", "stitch", "render", "-o", "x"}},
		{[]string{"docker-stitch", "__complete", "ren"}, []string{"docker-stitch", "__complete", "stitch", "ren"}},
		{[]string{"docker-stitch", "docker-cli-plugin-metadata"}, []string{"docker-stitch", "docker-cli-plugin-metadata"}},
	} {
		if got := standaloneArgs(tt.in, "stitch"); !slices.Equal(got, tt.want) {
			t.Errorf("standaloneArgs(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
