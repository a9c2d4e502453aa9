package smoke

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
)

// entry is the part of a suite's log that stands for one command:
//
//	=== name
//	run: ["program","argument"]
//	env: NAME=value
//	| what it wrote, line by line
//	--- exit 0: pass
//
// Without times, so that the same answers give the same bytes, and with every
// line of output marked, so that none of it can pass for a heading.
func (s *session) entry(c suite.Command, o Outcome, exit int, out *capture) []byte {
	var b bytes.Buffer
	run, err := intoto.Marshal(c.Args)
	if err != nil {
		run = []byte(strings.Join(c.Args, " "))
	}
	fmt.Fprintf(&b, "=== %s\nrun: %s\n", safe([]byte(c.Name)), safe(s.hide(run)))
	for _, v := range c.Env {
		value := v.Value
		if v.FromCaller {
			value = hidden
		}
		fmt.Fprintf(&b, "env: %s=%s\n", safe([]byte(v.Name)), safe(s.hide([]byte(value))))
	}
	// The process is gone, but a runner may still copy what it wrote.
	out.mu.Lock()
	output := slices.Clone(out.both.bytes)
	dropped := out.both.dropped
	out.mu.Unlock()
	output, cut := s.hideCut(output, dropped > 0)
	writeMarked(&b, output)
	if dropped += int64(cut); dropped > 0 {
		fmt.Fprintf(&b, "... %d more bytes\n", dropped)
	}
	switch o.Status {
	case record.Error:
		fmt.Fprintf(&b, "--- error: %s\n", safe([]byte(o.Reason)))
	case record.Pass:
		fmt.Fprintf(&b, "--- exit %d: pass\n", exit)
	default:
		fmt.Fprintf(&b, "--- exit %d: %s: %s\n", exit, o.Status, safe([]byte(o.Reason)))
	}
	return b.Bytes()
}

func writeMarked(b *bytes.Buffer, output []byte) {
	output = bytes.ReplaceAll(output, []byte("\r\n"), []byte("\n"))
	output = bytes.TrimSuffix(output, []byte("\n"))
	if len(output) == 0 {
		return
	}
	for line := range bytes.SplitSeq(output, []byte("\n")) {
		fmt.Fprintf(b, "| %s\n", safe(line))
	}
}

// safe spells what a terminal or an editor would not show as \xNN.
func safe(line []byte) []byte {
	var out []byte
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		switch {
		case r == '\t', unicode.IsPrint(r) && (r != utf8.RuneError || n > 1):
			out = append(out, line[:n]...)
		default:
			for _, c := range line[:n] {
				out = fmt.Appendf(out, `\x%02x`, c)
			}
		}
		line = line[n:]
	}
	return out
}

const hidden = "***"

func (s *session) hide(b []byte) []byte { return redact(b, s.secrets) }

// hideCut redacts output that may have been cut in the middle of a secret: then
// the beginning of one at its end goes too. It returns how much that was.
func (s *session) hideCut(output []byte, wasCut bool) ([]byte, int) {
	output = s.hide(output)
	if !wasCut {
		return output, 0
	}
	cut := 0
	for _, secret := range s.secrets {
		for n := min(len(secret)-1, len(output)); n > cut; n-- {
			if bytes.HasSuffix(output, secret[:n]) {
				cut = n
			}
		}
	}
	return output[:len(output)-cut], cut
}

// redact replaces every secret, longer ones first.
func redact(b []byte, secrets [][]byte) []byte {
	ordered := slices.Clone(secrets)
	slices.SortFunc(ordered, func(x, y []byte) int { return len(y) - len(x) })
	for _, secret := range ordered {
		b = bytes.ReplaceAll(b, secret, []byte(hidden))
	}
	return b
}

// appendBounded keeps a suite's log within maxSuiteLog.
func appendBounded(log, entry []byte) []byte {
	const end = "... the log is full\n"
	if len(log)+len(entry) <= maxSuiteLog-len(end) {
		return append(log, entry...)
	}
	if bytes.HasSuffix(log, []byte(end)) {
		return log
	}
	return append(log, end...)
}
