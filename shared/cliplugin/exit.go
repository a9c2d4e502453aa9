package cliplugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/docker/cli/cli"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Exit statuses that all plugins share. Each command's help lists its own.
const (
	StatusFailed      = 1   // the work could not be done
	StatusNegative    = 3   // the work was done and the answer is no
	StatusUsage       = 125 // flags or arguments are wrong; docker's own choice
	StatusInterrupted = 130 // SIGINT or SIGTERM
)

// ExitStatusHelp is the paragraph that commands append to their Long text.
// negative says what the command's "no" means; "" for commands that have none.
func ExitStatusHelp(negative string) string {
	var b strings.Builder
	b.WriteString("\n\nEXIT STATUS\n  0    done\n  1    failed\n")
	if negative != "" {
		fmt.Fprintf(&b, "  3    %s\n", negative)
	}
	b.WriteString("  125  wrong usage\n  130  interrupted")
	return b.String()
}

type statusError struct {
	error
	status int
}

func (e *statusError) Unwrap() error   { return e.error }
func (e *statusError) ExitStatus() int { return e.status }

// Negative marks err as the answer "no" of a command that did its work, such as
// drift that was found. A nil err stays nil.
func Negative(err error) error { return withStatus(err, StatusNegative) }

// Usage marks err as a mistake in flags or arguments. A nil err stays nil.
func Usage(err error) error { return withStatus(err, StatusUsage) }

func withStatus(err error, status int) error {
	if err == nil {
		return nil
	}
	return &statusError{err, status}
}

// interrupted wraps whatever came back after a signal had cancelled the context.
type interrupted struct{ error }

func (e interrupted) Unwrap() error   { return e.error }
func (e interrupted) ExitStatus() int { return StatusInterrupted }

// report prints err to w and returns the exit status that stands for it.
//
// The form is "ERROR: <what was being done>: <why>", one such line for each
// error of a list, then, after an empty line, the hints. Interruption prints one
// line and no cause: the user knows why it stopped.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	status := statusOf(err)
	if status == StatusInterrupted {
		fmt.Fprintln(w, "ERROR: interrupted")
		return status
	}
	var hints []string
	for _, e := range split(err) {
		msg := visible(strings.TrimSpace(e.Error()))
		if msg != "" {
			fmt.Fprintf(w, "ERROR: %s\n", msg)
		}
		if h := visible(fault.HintOf(e)); h != "" && (len(hints) == 0 || hints[len(hints)-1] != h) {
			hints = append(hints, h)
		}
	}
	if len(hints) > 0 {
		fmt.Fprintln(w)
		for _, h := range hints {
			fmt.Fprintf(w, "hint: %s\n", h)
		}
	}
	return status
}

// visible shows the characters of a message that would move the cursor, change
// colours or the direction of text: parts of it may be what an image, a registry or
// a file says.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func statusOf(err error) int {
	var coder interface{ ExitStatus() int }
	if errors.As(err, &coder) {
		return coder.ExitStatus()
	}
	var docker cli.StatusError
	if errors.As(err, &docker) && docker.StatusCode != 0 {
		return docker.StatusCode
	}
	if errors.Is(err, context.Canceled) {
		return StatusInterrupted
	}
	return StatusFailed
}

// split returns the single errors of a list made by errors.Join at the top of
// err's chain, or err itself.
func split(err error) []error {
	// Only what stands at the top is taken apart: below, it is part of a message.
	if s, ok := err.(*statusError); ok { //nolint:errorlint // see above
		return split(s.error)
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		if _, isFormat := err.(interface{ Format(fmt.State, rune) }); !isFormat && isJoin(err, many.Unwrap()) {
			var out []error
			for _, e := range many.Unwrap() {
				out = append(out, split(e)...)
			}
			return out
		}
	}
	return []error{err}
}

// isJoin reports whether err says no more than its parts, one a line: what
// errors.Join makes, unlike fmt.Errorf with several %w.
func isJoin(err error, parts []error) bool {
	lines := make([]string, len(parts))
	for i, e := range parts {
		lines[i] = e.Error()
	}
	return err.Error() == strings.Join(lines, "\n")
}
