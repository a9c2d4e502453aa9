package sticky

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A ConflictPolicy says who becomes the head when several jobs have begun with the
// same one: the first that commits, the last, or the one that has computed most.
type ConflictPolicy string

const (
	KeepRicher ConflictPolicy = "keep-richer" // see disk.Compare; the head stays at a tie
	Last       ConflictPolicy = "last"
	First      ConflictPolicy = "first"
)

// ConflictPolicies are the values of --on-conflict.
var ConflictPolicies = []string{string(KeepRicher), string(Last), string(First)}

// ParseConflictPolicy reads a value of --on-conflict; "" means KeepRicher.
func ParseConflictPolicy(s string) (ConflictPolicy, error) {
	if s == "" {
		return KeepRicher, nil
	}
	if !slices.Contains(ConflictPolicies, s) {
		err := fmt.Errorf("unknown conflict policy %q", s)
		if near := fault.Nearest(s, ConflictPolicies); near != "" {
			return "", fault.Hint(err, "did you mean %s", near)
		}
		return "", fault.Hint(err, "policies: %s", strings.Join(ConflictPolicies, ", "))
	}
	return ConflictPolicy(s), nil
}

// A Contest is what became of two generations of which only one can be the head.
type Contest struct {
	Policy      ConflictPolicy `json:"policy"`
	Other       string         `json:"other"` // the generation that another job had made the head
	Since       string         `json:"since"` // common ancestor, "" if that is the empty disk or none is known
	Seconds     float64        `json:"seconds"`
	HeadSeconds float64        `json:"headSeconds"` // computed since the common ancestor by that one's jobs
	Won         bool           `json:"won"`

	comparable bool
}

// A contest decides by its policy and remembers how.
type contest struct {
	policy  ConflictPolicy
	keep    int      // generations that are kept
	outcome *Contest // nil as long as there was no conflict to decide
}

// rule is a disk.Rule.
func (c *contest) rule(mine, head disk.Generation) bool {
	if c.policy == "" {
		c.policy = KeepRicher
	}
	compared, ok := disk.Compare(mine, head)
	c.outcome = &Contest{
		Policy: c.policy, Other: head.ID, Since: compared.Since,
		Seconds: compared.Mine, HeadSeconds: compared.Head, comparable: ok,
	}
	switch c.policy {
	case KeepRicher:
		c.outcome.Won = ok && compared.Mine > compared.Head
	case Last:
		c.outcome.Won = true
	}
	return c.outcome.Won
}

// lost says why the head stays, and won what has happened to the one before.
func (c *contest) lost() string {
	kept := "this generation is kept beside it"
	if c.keep == 1 {
		kept = "no generation is kept beside it"
	}
	switch {
	case c.outcome == nil:
		return "the head was moved on purpose meanwhile; " + kept
	case c.policy == First:
		return "another job has committed first; " + kept
	case !c.outcome.comparable:
		return "the head has moved meanwhile to what this one cannot be compared with; " + kept
	}
	return fmt.Sprintf("the head has moved meanwhile and holds no less new work, %s to %s; %s",
		seconds(c.outcome.HeadSeconds), seconds(c.outcome.Seconds), kept)
}

func (c *contest) won() string {
	kept := "which is kept beside it"
	if c.keep == 1 {
		kept = "which is not kept"
	}
	if c.policy == Last {
		return fmt.Sprintf("it takes the place of %s, %s", c.outcome.Other, kept)
	}
	return fmt.Sprintf("with %s of new work to %s it takes the place of %s, %s",
		seconds(c.outcome.Seconds), seconds(c.outcome.HeadSeconds), c.outcome.Other, kept)
}

func seconds(s float64) string { return fmt.Sprintf("%.1f s", s) }

// A result is what has become of a commit.
type result struct {
	decision   Decision
	generation string // "" if there is none
	but        string // to be added to the reason
	contest    *Contest
}

// result reads what a pool's Commit of g has returned. An error says that the commit
// could not be carried out.
func (c *contest) result(g disk.Generation, err error) (result, error) {
	r := result{decision: Discarded}
	switch {
	case errors.Is(err, disk.ErrConflict):
		r.decision, r.but, r.contest = Conflict, ", but "+c.lost(), c.outcome
		if c.keep != 1 {
			r.generation = g.ID
		}
	case errors.Is(err, disk.ErrPending):
		r.decision, r.generation, r.but = Pending, g.ID, ", but it could not be uploaded"
		return r, err
	case errors.Is(err, unix.ENOSPC):
		r.but = ", but the pool has no space left"
	case err != nil:
		r.but = ", but the commit failed"
		return r, err
	default:
		r.decision, r.generation, r.contest = Committed, g.ID, c.outcome
		if c.outcome != nil {
			r.but = "; " + c.won()
		}
	}
	return r, nil
}
