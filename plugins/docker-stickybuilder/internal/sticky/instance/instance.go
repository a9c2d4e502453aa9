// Package instance keeps what is known of each builder in files, so that any
// process may find it again: the one that runs up, the supervisor, the one that
// runs down a week later.
//
//	STATE/instances/NAME.lock                held while a NAME is brought up or down
//	STATE/instances/NAME/instance.json       written by up, then unchanged
//	STATE/instances/NAME/run.json            written by the supervisor
//	STATE/instances/NAME/stop.json           written by down, before it signals
//	STATE/instances/NAME/commit.json         written by commit, before it signals; removed once it is answered
//	STATE/instances/NAME/committed.json      the answer
//	STATE/instances/NAME/report.json         written by whoever ended the builder
//	STATE/instances/NAME/{buildkitd.toml,buildkitd.log,supervisor.log,journal.jsonl,run/}
//	STATE/last/NAME/                         the same of the NAME's last run
package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// An Instance is what up decided.
type Instance struct {
	Format    int          `json:"format"`
	Name      string       `json:"name"`
	Disk      string       `json:"disk"` // --disk
	ReadOnly  bool         `json:"readOnly"`
	Because   string       `json:"because,omitempty"`  // why it is read-only, if nobody asked for that
	Keep      int          `json:"keep,omitempty"`     // generations of the lineage; 0 means the pool's default
	MaxBytes  int64        `json:"maxBytes,omitempty"` // of the disk at a commit; 0 means no bound
	Working   disk.Working `json:"working"`
	Driver    string       `json:"driver,omitempty"`    // "" means process
	Buildkitd string       `json:"buildkitd,omitempty"` // of the process driver
	Container *Container   `json:"container,omitempty"` // of the docker-container driver
	Volume    *Volume      `json:"volume,omitempty"`    // of the engine that is the disk; nil for any other disk
	Endpoint  string       `json:"endpoint,omitempty"`  // of the remote driver's daemon
	Config    string       `json:"config,omitempty"`    // --config, absolute

	Snapshotter string    `json:"snapshotter,omitempty"` // that the configuration names
	Created     time.Time `json:"created"`

	DriverOptions map[string]string `json:"driverOptions,omitempty"`
	Entitlements  []string          `json:"entitlements,omitempty"` // that builds may ask for
	Platforms     []string          `json:"platforms,omitempty"`    // that the node is said to have

	// Job is the process for which the builder is there: when that has ended, the
	// supervisor does what down would. Zero if it stays until down.
	Job     process.ID `json:"job,omitzero"`
	JobName string     `json:"jobName,omitempty"`

	ReadyTimeout time.Duration `json:"readyTimeout"`

	// Store is where the builder is registered, and Previous what was current.
	Store       string   `json:"store,omitempty"` // directory of the buildx store
	Previous    *Current `json:"previous,omitempty"`
	Environment *EnvFile `json:"environment,omitempty"`

	Recovered   []Recovery   `json:"recovered,omitempty"`   // by up, in that order
	Checkpoints []Checkpoint `json:"checkpoints,omitempty"` // likewise, by commit
}

// Remote reports whether the daemon is somebody else's, who runs and keeps it.
func (i *Instance) Remote() bool { return i.Endpoint != "" }

// Elsewhere reports whether the daemon's state is in no directory that this machine is known
// to have: it is somebody else's daemon, or in a volume, wherever the engine is.
func (i *Instance) Elsewhere() bool { return i.Remote() || i.Volume != nil }

// Diskless reports whether nothing is kept of what the builder builds.
func (i *Instance) Diskless() bool { return i.Disk == disk.None }

// A Checkpoint is a generation that was committed while the builder was up.
type Checkpoint struct {
	Generation        string     `json:"generation"`
	Created           time.Time  `json:"created"`
	Milliseconds      int64      `json:"milliseconds,omitempty"` // from the request to the commit
	PauseMilliseconds int64      `json:"pauseMilliseconds"`      // of these, for which builds stood still
	Summary           disk.Tally `json:"summary"`                // builds since the checkpoint before
	Refs              []string   `json:"refs"`                   // of these
}

// A Recovery is one step that up has taken because a generation was not sound.
type Recovery struct {
	Rung       string `json:"rung"`         // one of the Rungs
	Generation string `json:"generation"`   // that was not sound; "" of a disk without any
	Reason     string `json:"reason"`       // what was wrong with it
	To         string `json:"to,omitempty"` // generation that the builder began with instead
	Cost       string `json:"cost,omitempty"`
}

// Rungs of the ladder by which up recovers.
const (
	RungRepair   = "repair"   // databases that can be made anew were dropped
	RungFetch    = "fetch"    // this machine's copy was dropped, and fetched again from the disk's home
	RungRollback = "rollback" // the generation was marked as bad, and the builder began with another one
	RungCold     = "cold"     // likewise, and there was no other one
	RungCheck    = "check"    // a volume that was not left cleanly was found to be sound
	RungReset    = "reset"    // a volume was removed, and made anew
)

func (r Recovery) String() string {
	s := fmt.Sprintf("generation %s was not sound (%s): ", r.Generation, r.Reason)
	if r.Generation == "" {
		s = fmt.Sprintf("the disk was not sound (%s): ", r.Reason)
	}
	switch r.Rung {
	case RungCheck:
		return fmt.Sprintf("the disk was not left cleanly (%s): its databases were checked, and are sound", r.Reason)
	case RungReset:
		s += "it was removed, and the builder began with an empty one"
	case RungRepair:
		s += "it was repaired"
	case RungFetch:
		s += "this machine's copy of it was dropped and fetched again"
	case RungRollback:
		s += "it will not be used again, and the builder began with " + r.To
	default:
		s += "it will not be used again; there is no other one, so the builder began with an empty disk"
	}
	if r.Cost != "" {
		s += ", which costs " + r.Cost
	}
	return s
}

// Container is how buildx runs the daemon.
type Container struct {
	Engine string   `json:"engine"` // address of the docker engine or, of one elsewhere, also the name of a docker context
	Node   string   `json:"node"`   // of the buildx builder
	Buildx []string `json:"buildx"` // command line of docker buildx
}

// A Volume is a docker volume that has the daemon's state, and no generations.
type Volume struct {
	Name string `json:"name"`
	Warm bool   `json:"warm"` // it had a former daemon's state
}

// Current is what was the buildx store's current builder before up.
type Current struct {
	Key     string `json:"key"`
	Name    string `json:"name"`
	Global  bool   `json:"global"`
	Default string `json:"default,omitempty"` // default builder of Used, "" for none
	Used    string `json:"used"`              // docker endpoint for which up made its builder current
}

// EnvFile is a CI's file of environment variables for later steps.
type EnvFile struct {
	Path     string `json:"path"`
	Previous string `json:"previous,omitempty"` // value of BUILDX_BUILDER before
	Named    bool   `json:"named,omitempty"`    // by the user, and not the file of one step
}

// Phases of a supervisor.
const (
	PhaseStarting = "starting"
	PhaseReady    = "ready"
	PhaseCrashed  = "crashed" // buildkitd died by itself; the supervisor waits for down
	PhaseDraining = "draining"
	PhasePruning  = "pruning"
	PhaseStopping = "stopping"
	PhaseChecking = "checking"
	PhaseSaving   = "committing"
	PhaseDropping = "discarding"
	PhaseTidying  = "tidying" // the report is written
)

// A Run is what the supervisor knows.
type Run struct {
	Phase           string     `json:"phase"`
	Supervisor      process.ID `json:"supervisor"`
	Buildkitd       process.ID `json:"buildkitd"`
	Namespace       string     `json:"namespace"` // mount namespace of buildkitd
	BuildkitVersion string     `json:"buildkitVersion,omitempty"`
	Snapshotter     string     `json:"snapshotter,omitempty"`
	ReadyMillis     int64      `json:"readyMilliseconds,omitempty"`
	Crash           string     `json:"crash,omitempty"`
	Moved           int64      `json:"moved,omitempty"` // bytes of the commit so far
	Total           int64      `json:"total,omitempty"` // of those known by now
}

// A Stop is the request of a down.
type Stop struct {
	Policy string        `json:"policy"`
	Drain  time.Duration `json:"drain"` // how long builds may go on

	OnConflict string `json:"onConflict,omitempty"`
}

// A Commit is the request of a commit.
type Commit struct {
	ID         string        `json:"id"` // of the generation to be
	Policy     string        `json:"policy"`
	OnConflict string        `json:"onConflict,omitempty"`
	MaxPause   time.Duration `json:"maxPause"` // for which builds may stand still
}

// A State is the directory in which builders are known.
type State string

// Dir of an instance, with its files.
type Dir string

// Dir returns the directory of a builder, there or not.
func (s State) Dir(name string) Dir { return Dir(filepath.Join(string(s), "instances", name)) }

// Last returns where the files of a builder's last run are kept.
func (s State) Last(name string) Dir { return Dir(filepath.Join(string(s), "last", name)) }

// Lock takes the lock of a NAME and makes the state's directories.
func (s State) Lock(ctx context.Context, name string, wait time.Duration) (*durable.Lock, error) {
	if err := os.MkdirAll(filepath.Join(string(s), "instances"), 0o700); err != nil {
		return nil, fault.Hint(fmt.Errorf("making the state directory: %w", err),
			"it has to be in a directory that can be written: set XDG_STATE_HOME to one")
	}
	return durable.TakeLock(ctx, string(s.Dir(name))+".lock", durable.Exclusive, wait)
}

// Busy reports whether a command holds the lock of a NAME.
func (s State) Busy(name string) bool {
	lock, err := durable.TakeLock(context.Background(), string(s.Dir(name))+".lock", durable.Shared, 0)
	if err == nil {
		lock.Close()
	}
	return errors.Is(err, durable.ErrLocked)
}

// Names lists the builders that are known, sorted.
func (s State) Names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(string(s), "instances"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, err
}

// Name is that of the builder.
func (d Dir) Name() string { return filepath.Base(string(d)) }

func (d Dir) File(name string) string { return filepath.Join(string(d), name) }

// Names of files.
const (
	Config        = "buildkitd.toml"
	BuildkitdLog  = "buildkitd.log"
	SupervisorLog = "supervisor.log"
	Journal       = "journal.jsonl"
	Report        = "report.json"
	fileInstance  = "instance.json"
	fileRun       = "run.json"
	Committed     = "committed.json"
	fileStop      = "stop.json"
	fileCommit    = "commit.json"

	// Directories that are of use for a moment only.
	Boot   = "boot"   // a buildx store
	Copied = "copied" // databases of a volume
)

// Endpoint is the daemon's API address as builders and clients spell it.
func (d Dir) Endpoint() string { return "unix://" + d.Socket() }

// Load reads the instance; nil without an error if there is none.
func (d Dir) Load() (*Instance, error) {
	var i Instance
	err := durable.ReadJSON(d.File(fileInstance), &i)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && i.Format > disk.Format {
		err = fmt.Errorf("reading builder %s: %w", i.Name, disk.ErrNewer)
	}
	return &i, err
}

// Save writes the instance.
func (d Dir) Save(i *Instance) error { return durable.WriteJSON(d.File(fileInstance), i, 0o600) }

// Remove forgets a builder of which there is nothing but its instance.
func (d Dir) Remove() error { return os.RemoveAll(string(d)) }

// LoadRun reads what the supervisor wrote last; zero if it never did.
func (d Dir) LoadRun() (Run, error) {
	var r Run
	err := durable.ReadJSON(d.File(fileRun), &r)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return r, err
}

// SaveRun writes what the supervisor knows.
func (d Dir) SaveRun(r Run) error { return durable.WriteJSON(d.File(fileRun), r, 0o600) }

// LoadStop reads the request to stop; nil if there is none.
func (d Dir) LoadStop() (*Stop, error) {
	var s Stop
	err := durable.ReadJSON(d.File(fileStop), &s)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &s, err
}

// SaveStop writes the request to stop.
func (d Dir) SaveStop(s Stop) error { return durable.WriteJSON(d.File(fileStop), s, 0o600) }

// LoadCommit reads the request to commit; nil if there is none.
func (d Dir) LoadCommit() (*Commit, error) {
	var c Commit
	err := durable.ReadJSON(d.File(fileCommit), &c)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &c, err
}

// SaveCommit writes the request to commit. The answer to the one before is gone then: it
// would be taken for this one's if that cannot be written.
func (d Dir) SaveCommit(c Commit) error {
	if err := os.Remove(d.File(Committed)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.WriteJSON(d.File(fileCommit), c, 0o600)
}

// RemoveCommit takes the request back, if there is one.
func (d Dir) RemoveCommit() error {
	err := os.Remove(d.File(fileCommit))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Renew forgets what a run has left, but for its logs, so that another one can
// begin.
func (d Dir) Renew() error {
	var errs []error
	for _, name := range []string{fileRun, fileStop, Report, Journal} {
		if err := os.Remove(d.File(name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Archive moves the instance's files to where those of the last run are kept.
func (s State) Archive(name string) error {
	last := string(s.Last(name))
	if err := os.MkdirAll(filepath.Dir(last), 0o700); err != nil {
		return err
	}
	if err := os.RemoveAll(last); err != nil {
		return err
	}
	for _, moment := range []string{Boot, Copied} { // of commands that were killed
		if err := os.RemoveAll(s.Dir(name).File(moment)); err != nil {
			return err
		}
	}
	err := os.Rename(string(s.Dir(name)), last)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
