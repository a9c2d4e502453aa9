package repack

import "github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"

const (
	// nobody and several stand for the layer that reads a frame.
	nobody, several = 0, -1
	// diskBlock is what filesystems give disk out in, or a multiple of it.
	diskBlock = 4 << 10
)

// A use is who will still read a frame of the spool.
type use struct {
	readings int32 // to come
	layer    int32 // counted from 1, or nobody, or several
}

// release foretells the spool what the layers of a plan read, and gives back the
// disk under what none of them does.
func (s *scanned) release(sp *spool, p *plan.Plan) {
	for i := range p.Layers {
		s.expect(sp, p.Layers[i].Units, int32(i+1))
	}
	sp.known = nil // all is there
	sp.drop()
}

// expect foretells what one layer, counted from 1, reads.
func (s *scanned) expect(sp *spool, units []*plan.Unit, layer int32) {
	for _, u := range units {
		segment, off := s.segmentOf(u)
		for range u.Files() {
			sp.expect(segment, off, u.Raw, layer)
		}
	}
}

// postpone tells that units will be read by another layer than was foretold.
func (s *scanned) postpone(sp *spool, units []*plan.Unit) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for _, u := range units {
		if !u.HasContent() {
			continue
		}
		segment, off := s.segmentOf(u)
		for p := range segment.pieces(off, u.Raw) {
			sp.share(p.frame)
		}
	}
}

// reassign foretells the spool once more who will read what, when all layers have
// been read but those that a plan has still to be written. They are counted from base
// on.
func (s *scanned) reassign(sp *spool, p *plan.Plan, base int) {
	sp.mu.Lock()
	sp.alone = nil
	for _, f := range sp.all {
		f.use = use{}
	}
	sp.mu.Unlock()
	for i, l := range p.Layers {
		if !l.Written {
			s.expect(sp, l.Units, int32(base+i+1))
		}
	}
}

func (s *scanned) segmentOf(u *plan.Unit) (*segment, int64) {
	if !u.HasContent() {
		return nil, 0
	}
	return s.locate(u.First)
}

// expect tells that an output layer will read the n bytes at off, once more.
func (s *spool) expect(g *segment, off, n int64, layer int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range g.pieces(off, n) {
		u := &p.frame.use
		u.readings++
		switch u.layer {
		case layer, several:
		case nobody:
			u.layer = layer
			s.own(layer, int64(p.frame.length))
		default:
			s.share(p.frame)
		}
	}
}

// share notes that no layer is the only one that reads a frame.
func (s *spool) share(f *frame) {
	if f.use.layer > nobody {
		s.own(f.use.layer, -int64(f.length))
	}
	f.use.layer = several
}

// finished tells that one of the expected readings is over. A frame that nobody
// will read any more leaves the disk.
func (s *spool) finished(g *segment, off, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range g.pieces(off, n) {
		if p.frame.use.readings--; p.frame.use.readings == 0 {
			s.free(p.frame)
		}
	}
}

// drop gives the disk of those frames back that nobody is to read.
func (s *spool) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.all {
		if f.use.readings == 0 {
			s.free(f)
		}
	}
}

// free gives the disk under a frame back, as far as the filesystem can: it frees
// whole blocks, so what lies between neighbours goes with the second of them.
func (s *spool) free(f *frame) {
	if s.solid || f.length == 0 {
		return
	}
	from, to := f.offset, f.offset+int64(f.length)
	first, last := from, to
	if begin, ok := s.holesByEnd[from]; ok {
		first = begin
		delete(s.holesByEnd, from)
	}
	if end, ok := s.holes[to]; ok {
		last = end
		delete(s.holes, to)
	}
	s.holes[first], s.holesByEnd[last] = last, first
	from, to = max(first, from-diskBlock), min(last, to+diskBlock)
	if err := punch(s.file, from, to-from); err != nil {
		s.solid = true // all of it stays, as it would without
		return
	}
	s.freed += int64(f.length)
	if f.use.layer > nobody {
		s.own(f.use.layer, -int64(f.length))
	}
}

// own counts the bytes that one layer alone will read.
func (s *spool) own(layer int32, n int64) {
	for len(s.alone) <= int(layer) {
		s.alone = append(s.alone, 0)
	}
	s.alone[layer] += n
}

// disk returns how many bytes the spool holds, and how many of them will be gone
// when one of the layers (counted from 0) has been written.
func (s *spool) disk(layers func(yield func(int) bool)) (now, soon int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.solid {
		return s.end, 0
	}
	for i := range layers {
		if i+1 < len(s.alone) {
			soon += s.alone[i+1]
		}
	}
	return s.end - s.freed, soon
}
