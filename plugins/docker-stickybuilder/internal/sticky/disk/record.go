package disk

import "time"

// A Record is a generation as it stands in its lineage.
type Record struct {
	Generation
	Head bool `json:"head"`
	Bad  *Bad `json:"bad,omitempty"` // set if it is never to be cloned again
}

// Bad says why a generation is never to be cloned again.
type Bad struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// A Copy is a working copy in a pool.
type Copy struct {
	ID      string    `json:"id"`
	Lineage Lineage   `json:"lineage"` // empty if the copy was made by an older version
	Parent  string    `json:"parent,omitempty"`
	Created time.Time `json:"created"`
	InUse   bool      `json:"inUse"` // some process holds it; else its job has died
}

// Kinds of Garbage.
const (
	OldGeneration = "generation" // beyond those to keep
	StaleCopy     = "copy"       // working copy whose job has died
	Leftover      = "trash"      // of a removal that was interrupted
)

// Garbage is what nothing refers to.
type Garbage struct {
	Kind    string  `json:"kind"`
	ID      string  `json:"id"`
	Lineage Lineage `json:"lineage,omitzero"`
	Bytes   int64   `json:"bytes"`
}

// Fallback returns the generation that is to take the place of id: the nearest
// ancestor that is sound, or else the newest sound one that is older; "" if there
// is none. records are in the order of their ids.
func Fallback(records []Record, id string) string {
	byID := map[string]Record{}
	older := ""
	for _, r := range records {
		byID[r.ID] = r
		if r.Bad == nil && r.ID < id {
			older = r.ID
		}
	}
	// An id only ever descends from a smaller one; else a damaged description
	// would lead in circles.
	for at := byID[id]; at.Parent != "" && at.Parent < at.ID; at = byID[at.Parent] {
		if parent, ok := byID[at.Parent]; ok && parent.Bad == nil {
			return parent.ID
		}
	}
	return older
}
