package ocidisk

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// All tags of sticky disks begin with tagPrefix, and those of one lineage with the
// same 32 hexadecimal digits behind it.
const tagPrefix = "disk-"

func lineagePrefix(l disk.Lineage) string {
	sum := sha256.Sum256([]byte(l.Identity()))
	return fmt.Sprintf("%s%x-", tagPrefix, sum[:16])
}

func headTag(l disk.Lineage) string { return lineagePrefix(l) + "head" }

// generationTag has the time of the commit before the id, so that a list of tags
// is in the order of commits.
func generationTag(g disk.Generation) string {
	return fmt.Sprintf("%sgen-%016x-%s", lineagePrefix(g.Lineage), uint64(g.Created.UnixNano()), g.ID)
}

func badTag(l disk.Lineage, id string) string { return lineagePrefix(l) + "bad-" + id }

func resetTag(l disk.Lineage, n int) string { return fmt.Sprintf("%sreset-%08d", lineagePrefix(l), n) }

// A listed generation is what a tag says of one.
type listed struct {
	id, tag string
	created time.Time
}

// A listing is what the tags of one lineage say.
type listing struct {
	tags        []string
	generations []listed // in the order of their commits
	bad         map[string]bool
	resets      int
}

func parseTags(l disk.Lineage, tags []string) listing {
	out := listing{tags: tags, bad: map[string]bool{}}
	for _, t := range tags {
		kind, rest, _ := strings.Cut(strings.TrimPrefix(t, lineagePrefix(l)), "-")
		switch kind {
		case "gen":
			at, id, _ := strings.Cut(rest, "-")
			if n, err := strconv.ParseUint(at, 16, 63); err == nil && len(at) == 16 && disk.ValidID(id) {
				out.generations = append(out.generations, listed{id, t, time.Unix(0, int64(n)).UTC()})
			}
		case "bad":
			if disk.ValidID(rest) {
				out.bad[rest] = true
			}
		case "reset":
			if n, err := strconv.Atoi(rest); err == nil {
				out.resets = max(out.resets, n)
			}
		}
	}
	slices.SortFunc(out.generations, func(a, b listed) int { return strings.Compare(a.tag, b.tag) })
	return out
}

func (s listing) find(id string) *listed {
	for i := range s.generations {
		if s.generations[i].id == id {
			return &s.generations[i]
		}
	}
	return nil
}

// surplus returns what is too many, what is bad first and then the oldest, and never
// the head.
func (s listing) surplus(head string, keep int) (out []listed) {
	var order []listed
	for _, bad := range []bool{true, false} {
		for _, g := range s.generations {
			if s.bad[g.id] == bad && g.id != head {
				order = append(order, g)
			}
		}
	}
	if s.find(head) != nil {
		keep--
	}
	return order[:max(0, len(order)-keep)]
}
