package summary

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
)

// MaxBytes is what GitHub takes of one step's summary; see docs.github.com/actions,
// "Step isolation and limits".
const MaxBytes = 1 << 20

// ErrFull says that there is no room for a summary.
var ErrFull = errors.New("there is no room left for a summary")

// Markdown writes the report as GitHub Flavored Markdown, at most limit bytes. If not
// all builds have room, those that succeeded are left out first, and their number is
// given. Everything that comes from outside is shown as the text that it is.
func Markdown(w io.Writer, r *sticky.Report, limit int) error {
	head := fmt.Sprintf("### Sticky builder %s: %s\n\n", Escape(r.Name), Escape(string(r.Decision)))
	tail := "| | |\n|---|---|\n"
	for _, f := range Facts(r) {
		tail += "| " + Escape(f.Label) + " | " + Escape(f.Text) + " |\n"
	}
	tail += "\n"
	room := limit - len(head) - len(tail)
	if room < 0 {
		return ErrFull
	}
	_, err := io.WriteString(w, head+builds(r.Builds, room)+tail)
	return err
}

const (
	tableHead = "| Build | Target | Platform | Outcome | Cached | Seconds | Error |\n|---|---|---|---|--:|--:|---|\n"
	moreRow   = "| and %d more | | | | | | |\n"
	moreRoom  = len(moreRow) + 18
)

// builds is a table of no more than room bytes, "" if there is nothing to show.
func builds(all []history.Build, room int) string {
	if room -= len(tableHead) + moreRoom + 1; len(all) == 0 || room < 0 {
		return ""
	}
	rows := make([]string, len(all)) // "" for what is left out
	left := len(all)
	for _, pass := range []bool{false, true} {
		for i, b := range all {
			if (b.Outcome == history.OK) != pass {
				continue
			}
			row := buildRow(b)
			if room < len(row) {
				break
			}
			rows[i], room, left = row, room-len(row), left-1
		}
	}
	out := tableHead + strings.Join(slices.DeleteFunc(rows, func(s string) bool { return s == "" }), "")
	if left > 0 {
		out += fmt.Sprintf(moreRow, left)
	}
	return out + "\n"
}

func buildRow(b history.Build) string {
	cached := ""
	if b.TotalSteps > 0 {
		cached = fmt.Sprintf("%d/%d (%s)", b.CachedSteps, b.TotalSteps, percent(b.CachedSteps, b.TotalSteps))
	}
	name := b.Name
	if name == "" {
		name = fmt.Sprintf("%.12s", b.Ref)
	}
	outcome := Escape(string(b.Outcome))
	if b.Outcome != history.OK {
		outcome = "**" + outcome + "**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %.1f | %s |\n",
		Escape(name), Escape(b.Target), Escape(b.Platform), outcome, cached, b.Seconds, Escape(b.Error))
}
