package longzstd

import "math/bits"

// A far finder finds matches at any distance within the window, if they are long. It
// looks only at places that the content itself chooses, so that equal stretches have
// them in common wherever they lie, and remembers these.
type far struct {
	table   []farEntry // buckets of two, the newest first
	shift   uint8
	last    int // distance of the match that the last block ended with, 0 if there was none
	chosen  []place
	touched uint32 // something that depends on what was looked at in advance
}

type farEntry struct{ position, check uint32 }

// A match is a stretch of the history, by indexes, that is the same as one before it.
type match struct{ start, end, distance int }

const (
	// farMatch is the least length of a match, and what a hash is made of.
	farMatch = 64
	// farRate is the binary logarithm of how far places are from each other.
	farRate  = 6
	farBytes = 8 // of an entry
	// farDistance is the least distance: what is nearer, the other finder finds.
	farDistance = 64 << 10
)

func newFar(window int) far {
	n := farBits(window)
	return far{table: huge(make([]farEntry, 1<<n)), shift: uint8(64 - n)}
}

// farBits is the logarithm of how many places are remembered: about as many as a window has.
func farBits(window int) int { return bits.Len(uint(window-1)) - farRate }

func (f *far) reset() {
	clear(f.table)
	f.last = 0
}

// gear is random, and the same forever: places, and with them the output, depend on it.
var gear = func() (out [256]uint64) {
	x := uint64(0x9e3779b97f4a7c15)
	for i := range out { // splitmix64
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		out[i] = z ^ z>>31
	}
	return out
}()

// block finds the matches of a block beside those that are known already.
func (f *far) block(j *job) {
	j.matches = j.matches[:0]
	at := j.start
	for _, k := range j.known {
		j.matches = append(f.find(j.history, j.base, at, k.start, j.low, j.matches), k)
		at, f.last = k.end, 0
	}
	end := len(j.history)
	j.matches = f.find(j.history, j.base, at, end, j.low, j.matches)
	f.last = 0
	if n := len(j.matches); n > 0 && j.matches[n-1].end == end {
		f.last = j.matches[n-1].distance
	}
}

// find appends the matches of history[start:end] that reach back to low at most.
func (f *far) find(history []byte, base, start, end, low int, found []match) []match {
	done := start // what lies before is matched
	if f.last > 0 && start-f.last >= low {
		if n := matchLen(history, start, start-f.last, end); n >= farMatch {
			found = append(found, match{start, start + n, f.last})
			done = start + n
		}
	}
	places := f.places(history, start, end)
	for i, p := range places {
		// What comes soon is asked for now, so that several entries are on their way at once.
		if i+touchAhead < len(places) {
			f.touched += f.table[f.slot(places[i+touchAhead].hash)].position
		}
		at, slot, check := p.at, f.slot(p.hash), uint32(p.hash)
		first, second := &f.table[slot], &f.table[slot|1]
		if at >= done+farMatch/2 {
			best := match{}
			for _, e := range [2]farEntry{*first, *second} {
				from := int(e.position) - base
				if e.check != check || from < low || at-from < farDistance {
					continue
				}
				forward := matchLen(history, at, from, end)
				back := matchBack(history, at, from, done, low)
				if m := (match{at - back, at + forward, at - from}); m.end-m.start >= farMatch && m.end-m.start > best.end-best.start {
					best = m
				}
			}
			if best.end > 0 {
				found = append(found, best)
				done = best.end
			}
		}
		*second = *first
		*first = farEntry{uint32(at + base), check}
	}
	return found
}

// A place is where a hash of the farMatch bytes before it says so.
type place struct {
	at   int
	hash uint64
}

// places returns those of history[start:end].
func (f *far) places(history []byte, start, end int) []place {
	f.chosen = f.chosen[:0]
	hash := uint64(0)
	for _, b := range history[max(start-farMatch, 0):start] {
		hash = hash<<1 + gear[b]
	}
	for i, b := range history[start:end] {
		if hash = hash<<1 + gear[b]; hash>>(64-farRate) == 0 {
			f.chosen = append(f.chosen, place{start + i + 1, hash * 0xd6e8feb86659fd93})
		}
	}
	return f.chosen
}

// slot returns the first entry of a hash's bucket.
func (f *far) slot(hash uint64) int { return int(hash>>f.shift) &^ 1 }
