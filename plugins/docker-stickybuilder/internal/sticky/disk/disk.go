// Package disk is the vocabulary of sticky disks: a disk is a chain of immutable
// generations under one head per lineage. A job works on a private clone of the
// head, and commits the clone as the next generation or discards it.
//
// Pools that keep disks are other packages, such as dirpool.
package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Format is the version of everything that pools store. A pool, head or
// generation of a newer one is refused with ErrNewer.
const Format = 1

// Errors of pools.
var (
	ErrNewer    = errors.New("written by a newer version of docker stickybuilder")
	ErrInUse    = errors.New("the disk is in use")
	ErrNoSpace  = errors.New("not enough space")
	ErrConflict = errors.New("another job has committed meanwhile")
	ErrBad      = errors.New("it was found to be bad")
	ErrGone     = errors.New("the working copy is gone")
	// ErrPending: the commit stands on this machine alone, and is to be uploaded.
	ErrPending = errors.New("the generation could not be uploaded")
)

// A Generation describes one immutable state of a disk.
type Generation struct {
	Format          int       `json:"format"`
	ID              string    `json:"id"`
	Parent          string    `json:"parent,omitempty"` // "" for the first one
	Lineage         Lineage   `json:"lineage"`
	Created         time.Time `json:"created"`
	BuildkitVersion string    `json:"buildkitVersion"`
	Builder         string    `json:"builder"`       // NAME of the builder that wrote it
	CleanShutdown   bool      `json:"cleanShutdown"` // buildkitd ended by itself, not by SIGKILL
	Builds          Tally     `json:"builds"`        // of the job that wrote it

	// Bytes is what the files take up, 0 if the job did not measure that.
	Bytes int64 `json:"bytes,omitempty"`

	// Origin is the lineage that Parent is of, if it is another: the first
	// generation of a branch is made of the default branch's.
	Origin Lineage    `json:"origin,omitzero"`
	Work   Work       `json:"work,omitempty"`  // of the job that wrote it
	Chain  []Ancestor `json:"chain,omitempty"` // the parent, its parent, and so on
}

// A Tally counts builds by their outcome, and the steps of all of them.
type Tally struct {
	OK          int `json:"ok"`
	Failed      int `json:"failed"`
	Cancelled   int `json:"cancelled"`
	Lost        int `json:"lost"`
	Running     int `json:"running"`
	CachedSteps int `json:"cachedSteps"`
	TotalSteps  int `json:"totalSteps"`
}

// Total is the number of builds.
func (t Tally) Total() int { return t.OK + t.Failed + t.Cancelled + t.Lost + t.Running }

// Working is a job's private, writable clone.
type Working struct {
	ID      string    `json:"id"`                // becomes the generation's id at commit
	Root    string    `json:"root"`              // directory for buildkitd's root
	Backing string    `json:"backing,omitempty"` // directory on the filesystem that holds Root's in a file; "" if none does
	Lineage Lineage   `json:"lineage"`
	Parent  string    `json:"parent,omitempty"`       // generation it is a clone of; "" if it started empty
	Born    time.Time `json:"parentCreated,omitzero"` // when Parent was committed
	Clone   Clone     `json:"clone"`

	Origin Lineage    `json:"origin,omitzero"` // lineage that Parent is of, if it is another
	Chain  []Ancestor `json:"chain,omitempty"` // Parent, its parent, and so on

	// Resets is how often the lineage's head had been moved by SetHead or Mark
	// when the copy was made. Whoever does that means it, so a job that has begun
	// before never moves the head by a Rule.
	Resets int `json:"resets,omitempty"`
}

// From notes that the copy is a clone of source, which may be nil.
func (w *Working) From(source *Generation) {
	if source == nil {
		return
	}
	w.Parent, w.Born = source.ID, source.Created
	if source.Lineage != w.Lineage {
		w.Origin = source.Lineage
	}
	w.Chain = source.chain()
	w.Chain = w.Chain[:min(len(w.Chain), maxChain)]
}

// Continue notes that what the copy held was committed as g while the copy was in
// use: from now on it is a clone of g.
func (w *Working) Continue(g Generation) {
	w.Parent, w.Origin, w.Chain = "", Lineage{}, nil
	w.From(&g)
}

// Base is the head that the copy's lineage has to have for a commit to move it, ""
// for none: what was cloned from another lineage begins its own.
func (w *Working) Base() string {
	if w.Origin != (Lineage{}) {
		return ""
	}
	return w.Parent
}

// Describe completes the description of the generation that the copy becomes.
func (w *Working) Describe(g Generation, now time.Time) Generation {
	g.Format, g.ID, g.Parent, g.Lineage, g.Created = Format, w.ID, w.Parent, w.Lineage, now.UTC()
	g.Origin, g.Chain, g.Work = w.Origin, w.Chain, g.Work.Bounded()
	return g
}

// Clone says how a working copy was made.
type Clone struct {
	Method       string `json:"method"`            // "empty", "snapshot", "reflink" or "copy"; "volume" of a docker volume, which is not cloned
	Milliseconds int64  `json:"milliseconds"`      // in all
	Entries      int64  `json:"entries,omitempty"` // directory entries made, one by one
	Bytes        int64  `json:"bytes,omitempty"`   // bytes moved
	Why          string `json:"why,omitempty"`     // why heads are copied on this disk, "" if they are not

	// Of a disk whose home is elsewhere: what it took to have the head here.
	RestoreMilliseconds int64   `json:"restoreMilliseconds,omitempty"` // of Milliseconds
	Traffic             Traffic `json:"traffic,omitzero"`
}

// Warm reports whether the clone began with a former job's state.
func (w *Working) Warm() bool { return w.Parent != "" }

var idPattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{12}$`)

// ValidID reports whether id looks like NewID's. What was read from a file is
// checked before it becomes part of a path.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// NewID makes an id that sorts by time: the second in letters, then the microsecond
// in five hexadecimal digits. 28 bits of entropy, which has at least 4 bytes, tell
// apart what is made at once.
func NewID(now time.Time, entropy []byte) string {
	return fmt.Sprintf("%s-%05x%.7x", now.UTC().Format("20060102T150405Z"), now.Nanosecond()/1000, binary.BigEndian.Uint32(entropy)>>4)
}

// A Spec is the value of --disk, SCHEME:REST or None.
type Spec struct{ Scheme, Path string }

func (s Spec) String() string {
	if s.Scheme == None {
		return None
	}
	return s.Scheme + ":" + s.Path
}

// None is the disk of a builder whose state goes with it.
const None = "none"

// Schemes of disks.
const (
	SchemeDir = "dir" // a pool on this machine
	SchemeOCI = "oci" // a repository of a registry

	SchemeVolume = "volume" // a volume of a docker engine, without generations
)

var schemes = []string{SchemeDir, SchemeOCI, SchemeVolume}

// volumePattern is what docker takes for the name of a volume.
var volumePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// maxVolume bounds the name of a volume: the engine makes a directory of it, and up a
// container's name.
const maxVolume = 200

// ParseSpec reads SCHEME:REST or None; the error for an unknown scheme proposes one.
func ParseSpec(s string) (Spec, error) {
	if s == None {
		return Spec{Scheme: None}, nil
	}
	scheme, path, found := strings.Cut(s, ":")
	if scheme == None || (!found && fault.Nearest(s, []string{None}) != "") {
		return Spec{}, fault.Hint(fmt.Errorf("parsing disk %q: there is no such disk", s), "did you mean %s", None)
	}
	if !found || strings.ContainsRune(scheme, '/') {
		return Spec{}, fault.Hint(fmt.Errorf("parsing disk %q: the scheme is missing", s), "did you mean dir:%s", s)
	}
	if !slices.Contains(schemes, scheme) {
		err := fmt.Errorf("parsing disk %q: unknown scheme %q", s, scheme)
		if near := fault.Nearest(scheme, schemes); near != "" {
			return Spec{}, fault.Hint(err, "did you mean %s:%s", near, path)
		}
		return Spec{}, fault.Hint(err, "known schemes: %s:; or %s", strings.Join(schemes, ":, "), None)
	}
	if scheme == SchemeVolume && (!volumePattern.MatchString(path) || len(path) > maxVolume) {
		return Spec{}, fault.Hint(fmt.Errorf("parsing disk %.300q: that is no name of a volume", s), "write %s:NAME, of at least two letters, digits or any of _.-", scheme)
	}
	if path == "" && scheme == SchemeOCI {
		return Spec{}, fault.Hint(fmt.Errorf("parsing disk %q: the repository is missing", s), "name one: %s:REGISTRY/REPO", scheme)
	}
	if path == "" {
		return Spec{}, fault.Hint(fmt.Errorf("parsing disk %q: the path is missing", s), "name a directory: %s:/var/lib/docker-stickybuilder", scheme)
	}
	if scheme == SchemeDir && path == "~" || scheme == SchemeDir && strings.HasPrefix(path, "~/") {
		return Spec{}, fault.Hint(fmt.Errorf("parsing disk %q: the shell left the ~ as it is", s), "write %s:$HOME%s", scheme, path[1:])
	}
	return Spec{scheme, path}, nil
}
