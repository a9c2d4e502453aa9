package repack

// Sharing is what the layers of a base image, which others on the same base have
// too, are worth: to a host that has one of those, and to one that has not. All
// sizes are in bytes, compressed.
type Sharing struct {
	Base   string `json:"base,omitempty"` // the base image, if annotations name it
	Layers int    `json:"layers"`         // of the base
	Kept   bool   `json:"kept"`           // whether they are as they were
	// SharedBytes are of base layers that others have too, 0 if they are not kept.
	SharedBytes int64 `json:"sharedBytes"`
	// DeadBytes are the part of SharedBytes that upper layers hide or replace, which
	// is pulled for nothing.
	DeadBytes int64 `json:"deadBytes"`
	// LostBytes are of base layers that are no longer shared, 0 if they are kept.
	LostBytes int64 `json:"lostBytes"`
}

// sharing returns nil if no base is known. The scan has been planned.
func (s *scanned) sharing(o *original) *Sharing {
	if s.base.layers == 0 {
		return nil
	}
	out := &Sharing{Base: s.base.image, Layers: s.base.layers}
	for _, k := range s.kept {
		if k.from == KeptBase {
			out.Kept = true
			out.SharedBytes += k.descriptor.Size
			out.DeadBytes += int64(float64(k.descriptor.Size) * (1 - k.live))
		}
	}
	if !out.Kept {
		for _, l := range o.manifest.Layers[:s.base.layers] {
			out.LostBytes += l.Size
		}
	}
	return out
}
