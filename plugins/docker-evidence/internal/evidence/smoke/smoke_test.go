package smoke_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
)

// script is a runner whose processes are functions, by the first argument.
type script struct {
	programs map[string]func(ctx context.Context, p smoke.Process) (int, error)
	before   error
	after    error
}

func (s script) Use(ctx context.Context, fn func(context.Context, smoke.Image) error) error {
	if s.before != nil {
		return s.before
	}
	if err := fn(ctx, s); err != nil {
		return err
	}
	return s.after
}

func (s script) Host() record.Host { return record.Host{Runner: "docker", OS: "linux"} }

func (s script) Run(ctx context.Context, p smoke.Process) (int, error) {
	program, ok := s.programs[p.Args[0]]
	if !ok {
		fmt.Fprintln(p.Stderr, "not found")
		return smoke.ExitNotFound, nil
	}
	return program(ctx, p)
}

var programs = map[string]func(ctx context.Context, p smoke.Process) (int, error){
	"ok":   func(context.Context, smoke.Process) (int, error) { return 0, nil },
	"four": func(context.Context, smoke.Process) (int, error) { return 4, nil },
	"both": func(_ context.Context, p smoke.Process) (int, error) {
		io.WriteString(p.Stdout, "out\r\n=== fake\n")
		io.WriteString(p.Stderr, "err \x1b[31m\xff\n")
		io.WriteString(p.Stdout, "end")
		return 0, nil
	},
	"hang": func(ctx context.Context, _ smoke.Process) (int, error) {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	},
	"broken": func(context.Context, smoke.Process) (int, error) { return 0, errors.New("no space left on s3cr3t") },
	"env": func(_ context.Context, p smoke.Process) (int, error) {
		io.WriteString(p.Stdout, strings.Join(p.Env, " "))
		return 0, nil
	},
	"flood": func(_ context.Context, p smoke.Process) (int, error) {
		chunk := strings.Repeat("x", 1<<16)
		for range 40 {
			io.WriteString(p.Stdout, chunk)
		}
		io.WriteString(p.Stdout, "needle")
		return 0, nil
	},
}

func parse(t *testing.T, text string) *suite.Suite {
	t.Helper()
	s, err := suite.Parse("smoke.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t *testing.T, r smoke.Runner, text string) (smoke.Result, string) {
	t.Helper()
	at := time.Unix(1_700_000_000, 0)
	env := map[string]string{"TOKEN": "s3cr3t", "LONG": "s3cr3t-longer", "EMPTY": ""}
	result, err := smoke.Run(t.Context(), r, smoke.Options{
		Suites: []*suite.Suite{parse(t, text)},
		Lookup: func(n string) (string, bool) { v, ok := env[n]; return v, ok },
		Now:    func() time.Time { return at },
	})
	if err != nil {
		t.Fatal(err)
	}
	return result, string(result.Reports[0].Log)
}

func TestStatuses(t *testing.T) {
	for name, tt := range map[string]struct {
		runner  script
		text    string
		status  record.Status
		reasons []string
	}{
		"pass": {
			script{programs: programs},
			"commands: [{run: [ok]}, {run: [four], exit: 4}, {run: [none], exit: 127, stderr: not found}]", record.Pass,
			[]string{"", "", ""},
		},
		"fail": {
			script{programs: programs},
			"commands: [{run: [four]}, {run: [both], stdout: [out, in], stderr: /^out/}]", record.Fail,
			[]string{"exit status 4, want 0", `stdout does not contain "in"; stderr does not contain /^out/`},
		},
		"timeout": {
			script{programs: programs},
			"timeout: 10ms\ncommands: [{run: [hang]}, {run: [ok]}]", record.Error,
			[]string{"timed out after 10ms", ""},
		},
		"fail outweighs error": {
			script{programs: programs},
			"timeout: 10ms\ncommands: [{run: [hang]}, {run: [four]}]", record.Fail,
			[]string{"timed out after 10ms", "exit status 4, want 0"},
		},
		"trouble":  {script{programs: programs}, "commands: [{run: [broken], env: {TOKEN: }}]", record.Error, []string{"no space left on ***"}},
		"no image": {script{before: errors.New("denied")}, "commands: [{run: [ok]}]", record.Error, []string{"denied"}},
		"image changed": {
			script{programs: programs, after: errors.New("another image")},
			"commands: [{run: [ok]}, {run: [four]}]", record.Error,
			[]string{"another image", "another image"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			result, _ := run(t, tt.runner, tt.text)
			if result.Status != tt.status || result.Reports[0].Status != tt.status {
				t.Errorf("status = %s, want %s", result.Status, tt.status)
			}
			var reasons []string
			hasError := false
			for _, o := range result.Reports[0].Outcomes {
				reasons = append(reasons, o.Reason)
				hasError = hasError || o.Status == record.Error
			}
			if diff := cmp.Diff(tt.reasons, reasons); diff != "" {
				t.Error(diff)
			}
			if (result.Trouble != nil) != hasError {
				t.Errorf("trouble = %v", result.Trouble)
			}
		})
	}
}

func TestLog(t *testing.T) {
	_, log := run(t, script{programs: programs}, "commands: [{name: a b, run: [both]}, {run: [four]}]")
	want := `=== a b
run: ["both"]
| out
| === fake
| err \x1b[31m\xff
| end
--- exit 0: pass
=== four
run: ["four"]
--- exit 4: fail: exit status 4, want 0
`
	if diff := cmp.Diff(want, log); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	result, log := run(t, script{programs: programs}, "commands: [{run: [env], env: {A: plain, TOKEN: , LONG: , EMPTY: }, stdout: A=plain TOKEN=s3cr3t LONG=s3cr3t-longer EMPTY=}]")
	if result.Status != record.Pass {
		t.Errorf("the process did not get its variables: %+v", result.Reports[0].Outcomes)
	}
	if strings.Contains(log, "s3cr3t") || !strings.Contains(log, "| A=plain TOKEN=*** LONG=*** EMPTY=\n") || strings.Contains(log, "longer") {
		t.Errorf("log: %s", log)
	}
}

func TestSecretCutByTheLimitStaysOut(t *testing.T) {
	for cut := 1; cut < len("s3cr3t"); cut++ {
		r := script{programs: map[string]func(context.Context, smoke.Process) (int, error){
			"edge": func(_ context.Context, p smoke.Process) (int, error) {
				io.WriteString(p.Stdout, strings.Repeat(".", 256<<10-cut)+"s3cr3t and more")
				return 0, nil
			},
		}}
		_, log := run(t, r, "commands: [{run: [edge], env: {TOKEN: }}]")
		if strings.Contains(log, ".s") {
			t.Errorf("cut at %d: a part of the secret is in the log", cut)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	result, log := run(t, script{programs: programs}, "commands: [{run: [flood], stdout: needle}]")
	if len(log) > 300<<10 || !strings.Contains(log, "more bytes\n") {
		t.Errorf("log of %d bytes", len(log))
	}
	if got := result.Reports[0].Outcomes[0].Reason; got != `stdout does not contain "needle" in its first 1048576 bytes` {
		t.Errorf("reason = %q", got)
	}
}

func TestMissingVariableIsFoundBeforeAnythingRuns(t *testing.T) {
	s := parse(t, "commands: [{run: [ok], env: {NOPE: }}]")
	ran := script{programs: map[string]func(context.Context, smoke.Process) (int, error){
		"ok": func(context.Context, smoke.Process) (int, error) { t.Error("it ran"); return 0, nil },
	}}
	_, err := smoke.Run(t.Context(), ran, smoke.Options{Suites: []*suite.Suite{s}, Now: time.Now})
	if err == nil || err.Error() != "smoke.yaml:1:30: variable NOPE is not set here" {
		t.Errorf("err = %v", err)
	}
}

func TestInterruptionIsNoResult(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := script{programs: map[string]func(context.Context, smoke.Process) (int, error){
		"stop": func(ctx context.Context, _ smoke.Process) (int, error) {
			cancel()
			<-ctx.Done()
			return 0, context.Cause(ctx)
		},
	}}
	_, err := smoke.Run(ctx, r, smoke.Options{Suites: []*suite.Suite{parse(t, "commands: [{run: [stop]}]")}, Now: time.Now})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}
