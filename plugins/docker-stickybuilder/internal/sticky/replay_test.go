package sticky

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A target of the matrix that is replayed: five jobs that begin at once with the
// same disk, and of which the slowest takes fifty times as long as the fastest.
type target struct {
	name       string
	deps, rest float64 // seconds of what is cached if the disk has it, and of what every push builds anew
}

var matrix = []target{{"lint", 10, 8}, {"docs", 12, 11}, {"api", 70, 50}, {"web", 150, 120}, {"app", 465, 450}}

// A simulation runs jobs by the clock of its own: each one clones its lineage's
// head, "builds" by leaving files on the copy and lines in a journal, and ends as
// every job does, by an ending's decision.
type simulation struct {
	t      *testing.T
	host   Host
	spec   string
	policy ConflictPolicy
	now    time.Time
	random *rand.Rand
	jobs   int
}

// A run is a job that goes on.
type run struct {
	target target
	begun  time.Time
	end    time.Time
	warm   bool
	inst   *instance.Instance
	lock   *durable.Lock
}

func newSimulation(t *testing.T, policy ConflictPolicy) *simulation {
	t.Helper()
	h, _ := newHost(t)
	// In memory, where there is such a filesystem: every commit syncs all of the pool's.
	dir, err := os.MkdirTemp("/dev/shm", "sticky-replay-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h.State = instance.State(filepath.Join(dir, "state"))
	s := &simulation{
		t: t, host: h, policy: policy, spec: "dir:" + filepath.Join(dir, "pool"),
		now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), random: rand.New(rand.NewPCG(1, 2)),
	}
	s.host.Now = func() time.Time { return s.now }
	plainPool(t, s.spec)
	return s
}

var simulated = disk.Lineage{Key: "acme/app", Platform: "linux/amd64", Ref: "main"}

// begin clones the disk, and says when the job will be done.
func (s *simulation) begin(x target, version string) *run {
	s.t.Helper()
	s.jobs++
	pool, err := s.host.openDisk(s.spec, 3, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer pool.Close()
	id, err := s.host.newID()
	if err != nil {
		s.t.Fatal(err)
	}
	r := &run{target: x, begun: s.now, inst: &instance.Instance{
		Format: disk.Format, Name: fmt.Sprint("job", s.jobs), Disk: s.spec, Keep: 3, Created: s.now, Working: disk.Working{ID: id, Lineage: simulated},
	}}
	if r.lock, _, err = s.host.clone(s.t.Context(), pool, r.inst, UpOptions{}, progress.Discard); err != nil {
		s.t.Fatal(err)
	}
	root := r.inst.Working.Root
	if !r.inst.Working.Warm() {
		emptyDatabases(s.t, root)
	}
	have, err := os.ReadFile(filepath.Join(root, x.name))
	r.warm = err == nil && string(have) == version
	work := x.rest
	if !r.warm {
		work += x.deps
	}
	work *= 0.9 + 0.2*s.random.Float64()
	if err := os.WriteFile(filepath.Join(root, x.name), []byte(version), 0o600); err != nil {
		s.t.Fatal(err)
	}
	r.end = s.now.Add(time.Duration(work * float64(time.Second)))
	dir := s.host.State.Dir(r.inst.Name)
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		s.t.Fatal(err)
	}
	line, err := json.Marshal(map[string]any{"type": "complete", "build": history.Build{
		Ref: id, Name: x.name, Outcome: history.OK, TotalSteps: 2, Computed: work, Started: r.begun,
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(dir.File(instance.Journal), append(line, '\n'), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *simulation) finish(r *run) *Report {
	s.t.Helper()
	s.now = r.end
	e := ending{host: s.host, dir: s.host.State.Dir(r.inst.Name), inst: r.inst, policy: history.AllOK, onConflict: s.policy, clean: true, lock: r.lock.File(), phase: func(string) {}}
	report, err := e.decide(s.t.Context())
	if err != nil || report.Decision == Discarded {
		s.t.Fatalf("%+v, %v", report, err)
	}
	return report
}

// emptyDatabases makes root look like that of a buildkitd that has built nothing.
func emptyDatabases(t *testing.T, root string) {
	t.Helper()
	for _, name := range []string{"cache.db", "runc-overlayfs/containerdmeta.db", "runc-overlayfs/metadata_v2.db", "runc-overlayfs/snapshots/metadata.db"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "runc-overlayfs/workerid"), []byte("worker1"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replay pushes every so often and returns, by target, the share of jobs that
// found their dependencies on the disk.
func replay(t *testing.T, policy ConflictPolicy, pushes int, every time.Duration, version func(push int) string) map[string]float64 {
	t.Helper()
	s := newSimulation(t, policy)
	var going []*run
	warm, all := map[string]int{}, map[string]int{}
	settle := func(until time.Time) {
		for len(going) > 0 {
			next := slices.MinFunc(going, func(a, b *run) int { return a.end.Compare(b.end) })
			if next.end.After(until) {
				break
			}
			s.finish(next)
			going = slices.DeleteFunc(going, func(r *run) bool { return r == next })
		}
		s.now = until
	}
	start := s.now
	for push := range pushes {
		settle(start.Add(time.Duration(push) * every))
		for _, x := range matrix {
			r := s.begin(x, version(push))
			going = append(going, r)
			all[x.name]++
			if r.warm {
				warm[x.name]++
			}
		}
	}
	settle(s.now.Add(time.Hour))
	share := map[string]float64{}
	for name, n := range all {
		share[name] = float64(warm[name]) / float64(n)
	}
	return share
}

func TestReplayOfAMatrix(t *testing.T) {
	once := func(int) string { return "1" }
	for name, c := range map[string]struct {
		pushes  int
		every   time.Duration
		version func(int) string
	}{
		"one push after the other": {16, 20 * time.Minute, once},
		// A second push begins while the first app is built, and cannot be warm.
		"pushes that overlap": {24, 10 * time.Minute, once},
		"dependencies change": {32, 20 * time.Minute, func(push int) string { return fmt.Sprint(push / 16) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			share := replay(t, KeepRicher, c.pushes, c.every, c.version)
			t.Logf("keep-richer: %v", share)
			if share["app"] <= 0.9 {
				t.Errorf("the slow target is warm in %.0f %% of its jobs", 100*share["app"])
			}
			// The others do not pay for it: of all the time that could be spared, most is.
			spared, all := 0.0, 0.0
			for _, x := range matrix {
				spared += x.deps * share[x.name]
				all += x.deps
			}
			if spared <= 0.85*all {
				t.Errorf("%.0f %% of the time is spared: %v", 100*spared/all, share)
			}
		})
	}
	t.Run("first", func(t *testing.T) {
		t.Parallel()
		// What other systems do in effect. If this were good, the replay would show nothing.
		share := replay(t, First, 12, 20*time.Minute, once)
		t.Logf("first: %v", share)
		if share["app"] > 0.2 {
			t.Errorf("the slow target is warm in %.0f %% of its jobs", 100*share["app"])
		}
	})
}

// What a report says of a contest, and that nothing richer is ever gone.
func TestContests(t *testing.T) {
	for name, c := range map[string]struct {
		policy      ConflictPolicy
		first, next int // into matrix
		won         bool
		says        string
	}{
		"richer":        {KeepRicher, 0, 4, true, "of new work to"},
		"poorer":        {KeepRicher, 4, 0, false, "holds no less new work"},
		"the last one":  {Last, 4, 0, true, "it takes the place of"},
		"the first one": {First, 0, 4, false, "another job has committed first"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, c.policy)
			a, b := s.begin(matrix[c.first], "1"), s.begin(matrix[c.next], "1")
			one, two := s.finish(a), s.finish(b)
			if one.Decision != Committed || one.Contest != nil {
				t.Errorf("%+v", one)
			}
			want, head := Conflict, one.Generation
			if c.won {
				want, head = Committed, two.Generation
			}
			if two.Decision != want || two.Head != head || two.Contest == nil || two.Contest.Won != c.won || two.Contest.Other != one.Generation || !strings.Contains(two.Reason, c.says) {
				t.Errorf("%+v (%+v)", two, two.Contest)
			}
			shelf, err := s.host.OpenShelf(s.spec)
			if err != nil {
				t.Fatal(err)
			}
			defer shelf.Close()
			if records, err := shelf.Records(t.Context(), simulated); err != nil || len(records) != 2 {
				t.Errorf("%+v, %v", records, err)
			}
		})
	}
}
