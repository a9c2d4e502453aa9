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
	Origin  Lineage   `json:"origin,omitzero"` // lineage that Parent is of, if it is another
	Created time.Time `json:"created"`
	InUse   bool      `json:"inUse"` // some process holds it; else its job has died
}

// Kinds of Garbage.
const (
	UnusedDisk    = "disk"       // a whole lineage that no job has used for long; ID is its head
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
// is none. With an id that is not among records, it is the newest sound one.
func Fallback(records []Record, id string) string {
	for _, r := range Ancestors(records, id) {
		if r.Bad == nil && r.ID != id {
			return r.ID
		}
	}
	var from, best *Record
	for i := range records {
		if records[i].ID == id {
			from = &records[i]
		}
	}
	for i := range records {
		r := &records[i]
		if r.Bad != nil || (from != nil && !r.Created.Before(from.Created)) {
			continue
		}
		if best == nil || best.Created.Before(r.Created) {
			best = r
		}
	}
	if best == nil {
		return ""
	}
	return best.ID
}

// Ancestors returns the generation id, its parent, and so on, as far as records
// have them.
func Ancestors(records []Record, id string) []Record {
	byID := map[string]Record{}
	for _, r := range records {
		byID[r.ID] = r
	}
	var out []Record
	for r, ok := byID[id]; ok; r, ok = byID[r.Parent] {
		out = append(out, r)
		delete(byID, r.ID) // damaged descriptions must not lead in circles
	}
	return out
}
