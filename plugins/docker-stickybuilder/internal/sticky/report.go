package sticky

import (
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

// A Decision is what became of the job's working copy.
type Decision string

const (
	Committed Decision = "commit"    // it is the disk's head now
	Discarded Decision = "discard"   // it is gone, and the head as it was
	Conflict  Decision = "conflict"  // it is kept beside the head, which another job moved meanwhile
	Pending   Decision = "pending"   // it is kept on this machine, since the disk's home could not take it
	Kept      Decision = "keep"      // it is in a volume, which has no generations, whatever was built
	Idle      Decision = "none"      // no builder of that name was up
	Undecided Decision = "undecided" // the builder is up, and down will decide
	Declined  Decision = "decline"   // no checkpoint was made, and the builder goes on as before
)

// Decisions are all that a Report may have.
var Decisions = []Decision{Committed, Discarded, Conflict, Pending, Kept, Undecided, Idle}

// A Report says what a builder has built, how its run ended, and what that took. Its
// JSON form is what `down --format json` and `report --format json` print; it is
// stable: fields may be added, none is renamed or removed.
type Report struct {
	Name     string   `json:"name"`
	Decision Decision `json:"decision"`
	Reason   string   `json:"reason"`
	Policy   string   `json:"policy,omitempty"`

	Driver       string   `json:"driver,omitempty"`
	Entitlements []string `json:"entitlements,omitempty"` // that builds might ask for

	Disk       string `json:"disk,omitempty"`
	Key        string `json:"key,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Platform   string `json:"platform,omitempty"`
	Origin     string `json:"origin,omitempty"` // KEY@REF that Parent is of, if the lineage had no head
	ReadOnly   bool   `json:"readOnly"`
	Parent     string `json:"parent,omitempty"`     // generation that the job began with, "" if it began empty
	Generation string `json:"generation,omitempty"` // generation that the job wrote, "" if discarded
	Head       string `json:"head,omitempty"`       // the disk's head after the decision

	ParentCreated    time.Time    `json:"parentCreated,omitzero"`
	ParentAgeSeconds *float64     `json:"parentAgeSeconds,omitempty"`  // when the job began
	Cache            string       `json:"cache,omitempty"`             // "warm" or "cold", at the beginning
	Clone            disk.Clone   `json:"clone,omitzero"`              // how the job got its disk
	ReadyMillis      int64        `json:"readyMilliseconds,omitempty"` // buildkitd's own start
	Durations                     // of its end
	Commit           disk.Traffic `json:"commitTraffic,omitzero"` // with the disk's home

	Bytes       int64 `json:"bytes,omitempty"`       // of the disk at its end, if it was measured to keep to a bound
	PrunedBytes int64 `json:"prunedBytes,omitempty"` // removed to keep to it

	// Notes are for the user.
	Notes []string `json:"notes,omitempty"`

	// Recovered are the steps that up has taken because a generation was not sound.
	Recovered []instance.Recovery `json:"recovered,omitempty"`

	// Checkpoints are the generations that were committed while the builder was up.
	Checkpoints []instance.Checkpoint `json:"checkpoints,omitempty"`

	// Contest is set if another job had moved the head meanwhile.
	Contest *Contest `json:"contest,omitempty"`

	BuildkitVersion string          `json:"buildkitVersion,omitempty"`
	Snapshotter     string          `json:"snapshotter,omitempty"` // that keeps layers
	CleanShutdown   bool            `json:"cleanShutdown"`         // buildkitd ended when asked, without SIGKILL
	Crash           string          `json:"crash,omitempty"`       // how buildkitd died by itself
	Started         time.Time       `json:"started,omitzero"`
	Stopped         time.Time       `json:"stopped,omitzero"`
	Summary         disk.Tally      `json:"summary"`
	Builds          []history.Build `json:"builds"` // in the order of their start; never null

	// Error is set if the decision could not be carried out.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// States of a builder besides the phases of its supervisor.
const (
	StateStarted = "started" // up started it
	StateRunning = "running" // up found it running
	StateDead    = "dead"    // its supervisor died; down or up cleans up
	StateEnded   = "ended"   // its supervisor came to an end without down, which would tell the decision
)

// Modes of an Upped.
const (
	ModeSticky   = "sticky"
	ModeDegraded = "degraded" // there is no builder, and all else is empty
)

// An Upped is the result of up, and what `up --format json` prints.
type Upped struct {
	Mode            string     `json:"mode"`
	Reason          string     `json:"reason,omitempty"` // why it is degraded
	Name            string     `json:"name"`
	Driver          string     `json:"driver"`
	Endpoint        string     `json:"endpoint"`
	State           string     `json:"state"` // "started" or "running"
	Disk            string     `json:"disk"`
	Key             string     `json:"key"`
	Ref             string     `json:"ref"`
	Platform        string     `json:"platform"`
	Generation      string     `json:"generation"` // the clone's parent, "" if it began empty
	Origin          string     `json:"origin"`     // KEY@REF of the fallback that it is of, "" if it is of the lineage itself
	Cache           string     `json:"cache"`      // "warm" or "cold"; "" of a remote builder, where nobody knows
	Clone           disk.Clone `json:"clone"`
	ReadyMillis     int64      `json:"readyMilliseconds"` // buildkitd's own start
	ReadOnly        bool       `json:"readOnly"`
	Because         string     `json:"because,omitempty"` // why it is read-only, if nobody asked for that
	Current         bool       `json:"current"`           // made the user's current builder
	BuildkitVersion string     `json:"buildkitVersion"`
	Snapshotter     string     `json:"snapshotter"` // that keeps layers

	// Recovered are the steps that were taken because a generation was not sound.
	Recovered []instance.Recovery `json:"recovered,omitempty"`

	// Notes are for the user, not for scripts.
	Notes []string `json:"-"`
}

func upped(state string, dir instance.Dir, i *instance.Instance, run instance.Run) *Upped {
	return &Upped{
		Mode:            ModeSticky,
		Name:            i.Name,
		Driver:          first(i.Driver, ProcessDriver),
		Endpoint:        endpoint(dir, i),
		State:           state,
		Disk:            i.Disk,
		Key:             i.Working.Lineage.Key,
		Ref:             i.Working.Lineage.Ref,
		Origin:          i.Working.Origin.Name(),
		Because:         i.Because,
		Platform:        i.Working.Lineage.Platform,
		Generation:      i.Working.Parent,
		Cache:           cache(i),
		Clone:           i.Working.Clone,
		ReadyMillis:     run.ReadyMillis,
		ReadOnly:        i.ReadOnly,
		Current:         i.Previous != nil,
		BuildkitVersion: run.BuildkitVersion,
		Snapshotter:     run.Snapshotter,
		Recovered:       i.Recovered,
	}
}

func cache(i *instance.Instance) string {
	if i.Remote() {
		return ""
	}
	if i.Working.Warm() || (i.Volume != nil && i.Volume.Warm) {
		return "warm"
	}
	return "cold"
}

// A Status describes one builder, and is what `status --format json` prints.
type Status struct {
	Name            string          `json:"name"`
	State           string          `json:"state"` // the supervisor's phase, or "dead"
	Driver          string          `json:"driver"`
	Endpoint        string          `json:"endpoint"`
	Disk            string          `json:"disk"`
	Key             string          `json:"key"`
	Ref             string          `json:"ref"`
	Origin          string          `json:"origin"`
	Platform        string          `json:"platform"`
	Generation      string          `json:"generation"`
	Cache           string          `json:"cache"`
	ReadOnly        bool            `json:"readOnly"`
	SupervisorPID   int             `json:"supervisorPid"`
	BuildkitdPID    int             `json:"buildkitdPid"`
	BuildkitVersion string          `json:"buildkitVersion"`
	Snapshotter     string          `json:"snapshotter"`
	Started         time.Time       `json:"started"`
	UptimeSeconds   float64         `json:"uptimeSeconds"`
	Crash           string          `json:"crash,omitempty"`
	Orphan          bool            `json:"orphan,omitempty"` // it is dead, and its buildkitd runs on nevertheless
	Logs            []string        `json:"logs"`
	Decision        Decision        `json:"decision,omitempty"` // of a builder that has ended
	Reason          string          `json:"reason,omitempty"`
	Summary         disk.Tally      `json:"summary"`
	Builds          []history.Build `json:"builds"`

	ParentCreated time.Time  `json:"parentCreated,omitzero"`
	Clone         disk.Clone `json:"clone"`
	ReadyMillis   int64      `json:"readyMilliseconds"`
	Entitlements  []string   `json:"entitlements,omitempty"`

	Lease *Lease `json:"lease"` // null if the builder stays until down

	Recovered   []instance.Recovery   `json:"recovered,omitempty"`
	Checkpoints []instance.Checkpoint `json:"checkpoints,omitempty"`
}

// A Lease is the process for which a builder is there. When that ends, the supervisor does
// what down would do with these options.
type Lease struct {
	PID          int     `json:"pid"`
	Name         string  `json:"name"`
	Alive        bool    `json:"alive"`
	Policy       string  `json:"policy"`
	OnConflict   string  `json:"onConflict"`
	DrainSeconds float64 `json:"drainSeconds"`
}
