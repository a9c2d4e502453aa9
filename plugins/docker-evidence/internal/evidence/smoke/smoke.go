package smoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Options of [Run].
type Options struct {
	Suites []*suite.Suite
	// Lookup gives the caller's environment to variables without a value.
	Lookup   func(name string) (string, bool)
	Now      func() time.Time // required
	Progress progress.Reporter
}

// A Result is what came of all suites.
type Result struct {
	Status  record.Status
	Reports []Report
	Host    record.Host
	// Trouble is the first error that kept commands from being judged; nil
	// unless the status of a report is error.
	Trouble error
}

// A Report is what came of one suite.
type Report struct {
	Suite    *suite.Suite
	Status   record.Status
	Duration time.Duration
	Outcomes []Outcome
	// Log holds what the commands wrote, made safe to show. Its form is that of
	// the entries in log.go.
	Log []byte
}

// An Outcome is what came of one command.
type Outcome struct {
	Name     string
	Status   record.Status
	Reason   string // "" for pass
	Duration time.Duration
}

// Run runs the suites one after the other. An error means that ctx ended, or that
// a variable is missing; all other trouble is part of the result.
func Run(ctx context.Context, r Runner, opts Options) (Result, error) {
	if opts.Progress == nil {
		opts.Progress = progress.Discard
	}
	s := session{Options: opts}
	if err := s.variables(); err != nil {
		return Result{}, err
	}
	for _, su := range opts.Suites {
		s.result.Reports = append(s.result.Reports, Report{Suite: su})
	}
	err := r.Use(ctx, func(ctx context.Context, img Image) error {
		s.result.Host = img.Host()
		return s.all(ctx, img)
	})
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	if err != nil {
		s.spoil(err)
	}
	s.finish()
	return s.result, nil
}

type session struct {
	Options
	values  map[string]string // of the variables taken from the caller
	secrets [][]byte
	result  Result
}

// variables looks up what suites want from the caller's environment, before
// anything is run.
func (s *session) variables() error {
	var missing fault.List
	s.values = map[string]string{}
	for _, su := range s.Suites {
		for _, c := range su.Commands {
			for _, v := range c.Env {
				if !v.FromCaller {
					continue
				}
				value, ok := "", false
				if s.Lookup != nil {
					value, ok = s.Lookup(v.Name)
				}
				if !ok {
					missing.Add(fault.Hint(fault.At(v.At, fmt.Errorf("variable %s is not set here", v.Name)), "set it, or give it a value in the suite"))
					continue
				}
				s.values[v.Name] = value
				if value != "" {
					s.secrets = append(s.secrets, []byte(value))
				}
			}
		}
	}
	return missing.Err()
}

func (s *session) all(ctx context.Context, img Image) error {
	for i := range s.result.Reports {
		report := &s.result.Reports[i]
		start := s.Now()
		for _, c := range report.Suite.Commands {
			if err := s.command(ctx, img, report, c); err != nil {
				return err
			}
		}
		report.Duration = s.Now().Sub(start)
	}
	return nil
}

// command returns an error only when ctx has ended.
func (s *session) command(ctx context.Context, img Image, report *Report, c suite.Command) error {
	step := s.Progress.Step(report.Suite.Name + ": " + c.Name)
	out := newCapture()
	start := s.Now()
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	exit, err := img.Run(limited, Process{
		Args: c.Args, Env: s.env(c), User: c.User, Dir: c.Workdir, Network: report.Suite.Network,
		Stdout: out.stdout(), Stderr: out.stderr(),
	})
	timedOut := limited.Err() != nil
	cancel()
	if ctx.Err() != nil {
		step.Done(context.Cause(ctx))
		return context.Cause(ctx)
	}
	o := Outcome{Name: c.Name, Duration: s.Now().Sub(start)}
	switch {
	case err != nil && timedOut:
		o.Status, o.Reason = record.Error, fmt.Sprintf("timed out after %s", c.Timeout)
		s.trouble(fmt.Errorf("%s: %s: %s", report.Suite.Name, c.Name, o.Reason))
	case err != nil:
		o.Status, o.Reason = record.Error, string(redact([]byte(err.Error()), s.secrets))
		s.trouble(fmt.Errorf("%s: %s: %w", report.Suite.Name, c.Name, err))
	default:
		o.Status, o.Reason = judge(c, exit, out)
	}
	entry := s.entry(c, o, exit, out)
	report.Outcomes = append(report.Outcomes, o)
	report.Log = appendBounded(report.Log, entry)
	_, _ = step.Write(entry)
	if o.Status != record.Pass {
		step.Done(errors.New(o.Reason))
	} else {
		step.Done(nil)
	}
	return nil
}

func (s *session) env(c suite.Command) []string {
	var env []string
	for _, v := range c.Env {
		value := v.Value
		if v.FromCaller {
			value = s.values[v.Name]
		}
		env = append(env, v.Name+"="+value)
	}
	return env
}

func judge(c suite.Command, exit int, out *capture) (record.Status, string) {
	var reasons bytes.Buffer
	add := func(format string, args ...any) {
		if reasons.Len() > 0 {
			reasons.WriteString("; ")
		}
		fmt.Fprintf(&reasons, format, args...)
	}
	if exit != c.Exit {
		add("exit status %d, want %d", exit, c.Exit)
	}
	for _, side := range []struct {
		name     string
		output   *bounded
		patterns []suite.Pattern
	}{{"stdout", &out.out, c.Stdout}, {"stderr", &out.err, c.Stderr}} {
		for _, p := range side.patterns {
			if p.Match(side.output.bytes) {
				continue
			}
			where := ""
			if side.output.dropped > 0 {
				where = fmt.Sprintf(" in its first %d bytes", len(side.output.bytes))
			}
			add("%s does not contain %s%s", side.name, p, where)
		}
	}
	if reasons.Len() > 0 {
		return record.Fail, reasons.String()
	}
	return record.Pass, ""
}

func (s *session) trouble(err error) {
	if s.result.Trouble == nil {
		s.result.Trouble = err
	}
}

// spoil marks every command as not judged, with the one reason: the image was not
// there, or was not the one that the record is about.
func (s *session) spoil(err error) {
	s.trouble(err)
	reason := string(redact([]byte(err.Error()), s.secrets))
	for i := range s.result.Reports {
		report := &s.result.Reports[i]
		report.Outcomes = nil
		for _, c := range report.Suite.Commands {
			report.Outcomes = append(report.Outcomes, Outcome{Name: c.Name, Status: record.Error, Reason: reason})
		}
		report.Log = appendBounded(report.Log, fmt.Appendf(nil, "--- error: %s\n", safe([]byte(reason))))
	}
}

func (s *session) finish() {
	var all []record.Status
	for i := range s.result.Reports {
		var statuses []record.Status
		for _, o := range s.result.Reports[i].Outcomes {
			statuses = append(statuses, o.Status)
		}
		s.result.Reports[i].Status = record.Overall(statuses...)
		all = append(all, s.result.Reports[i].Status)
	}
	s.result.Status = record.Overall(all...)
}
