// Package history knows what was built, from BuildKit's own history and from
// nothing else: every solve counts, whichever client asked for it. A [Witness]
// listens while the daemon runs and writes a [Journal] outside of the disk, so
// that a build which the daemon took with it when it died is still known to have
// been started.
package history

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc/codes"
)

// An Outcome is how a build ended.
type Outcome string

const (
	Running   Outcome = "running"
	OK        Outcome = "ok"
	Failed    Outcome = "failed"
	Cancelled Outcome = "cancelled" // by its client, or by bake because a sibling failed
	Lost      Outcome = "lost"      // started and never completed: the daemon died
)

// A Build is one solve as reports show it. The JSON form is stable: fields may
// be added, none is renamed or removed.
type Build struct {
	Ref         string    `json:"ref"`                // BuildKit's id of the build
	Name        string    `json:"name"`               // bake target, or else build context and Dockerfile, as far as they are known
	Target      string    `json:"target,omitempty"`   // stage asked for
	Frontend    string    `json:"frontend,omitempty"` // such as "dockerfile.v0", "" if the client runs it itself, as buildx does
	Platform    string    `json:"platform,omitempty"` // asked for, "" for the builder's own
	Outcome     Outcome   `json:"outcome"`
	CachedSteps int       `json:"cachedSteps"`
	TotalSteps  int       `json:"totalSteps"`      // what was computed, see package steps; 0 for a build that is lost
	Seconds     float64   `json:"seconds"`         // 0 while it is not known
	Computed    float64   `json:"computedSeconds"` // what the steps took that ran to their end and were not cached
	Error       string    `json:"error,omitempty"`
	Started     time.Time `json:"started"`
}

// fromRecord takes over what a report needs. Other attributes, build arguments
// among them, may hold secrets and are left behind.
func fromRecord(r *controlapi.BuildHistoryRecord) Build {
	b := Build{
		Ref:         clean(r.Ref),
		Name:        buildName(r.FrontendAttrs),
		Target:      clean(r.FrontendAttrs["target"]),
		Frontend:    clean(r.Frontend),
		Platform:    clean(r.FrontendAttrs["platform"]),
		Outcome:     Running,
		CachedSteps: int(r.NumCachedSteps),
		TotalSteps:  int(r.NumTotalSteps),
	}
	if r.CreatedAt != nil {
		b.Started = r.CreatedAt.AsTime().UTC()
	}
	if r.CompletedAt == nil {
		return b
	}
	b.Outcome = OK
	if r.Error != nil {
		b.Outcome = Failed
		if codes.Code(r.Error.Code) == codes.Canceled {
			b.Outcome = Cancelled
		}
		b.Error = clean(redact(r.Error.Message))
	}
	if !b.Started.IsZero() {
		b.Seconds = max(0, r.CompletedAt.AsTime().Sub(b.Started).Seconds())
	}
	return b
}

// Describe completes the name of a build of which BuildKit was told none, as of
// one with a local context, by what its client noted. The parts may be empty.
func (b *Build) Describe(bakeTarget, context, dockerfile string) {
	switch {
	case bakeTarget != "":
		b.Name = clean(bakeTarget)
	case b.Name == "" || !strings.Contains(b.Name, "/"):
		if name := buildName(map[string]string{"context": context, "filename": dockerfile}); len(name) > len(b.Name) {
			b.Name = name
		}
	}
}

const defaultDockerfile = "Dockerfile"

// buildName makes a short name of the frontend attributes that buildx sets: the
// last part of the context, and of the Dockerfile if that is not the usual one.
func buildName(attrs map[string]string) string {
	context := attrs["context"]
	if local := attrs["vcs:localdir:context"]; local != "" {
		context = local
	}
	if i := strings.LastIndexByte(context, '#'); i >= 0 && strings.Contains(context[:i], "://") {
		context = context[:i]
	}
	// Credentials and keys in an address are nobody's business.
	if u, err := url.Parse(context); err == nil && u.Scheme != "" && u.Host != "" {
		if context = u.Path; strings.Trim(context, "/") == "" {
			context = u.Hostname()
		}
	} else if strings.Contains(context, "://") {
		context = "" // who knows what of it is
	}
	name := path.Base(strings.TrimSuffix(strings.TrimRight(context, "/"), ".git"))
	if name == "." || name == "/" {
		name = ""
	}
	if file := path.Base(attrs["filename"]); file != "." && file != "/" && file != defaultDockerfile {
		if name != "" {
			name += "/"
		}
		name += file
	}
	return clean(name)
}

var (
	userinfo = regexp.MustCompile(`(://)[^/\s@"]+@`)
	query    = regexp.MustCompile(`(://[^\s"'?]+\?)[^\s"']+`)
)

// redact takes credentials and keys out of the addresses in a text.
func redact(s string) string {
	return query.ReplaceAllString(userinfo.ReplaceAllString(s, "${1}…@"), "${1}…")
}

// maxText bounds what a client may put into reports.
const maxText = 400

// clean makes text from a client fit for one line of a terminal: no control
// characters, bounded.
func clean(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	}), " ")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
