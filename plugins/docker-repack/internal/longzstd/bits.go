package longzstd

import "encoding/binary"

// A bitWriter appends bits, the lowest first.
type bitWriter struct {
	out  []byte
	bits uint64
	n    uint8
}

// add adds the lowest n bits of v. Between two calls of carry there is room for 56.
func (w *bitWriter) add(v uint64, n uint8) {
	w.bits |= (v & (1<<(n&63) - 1)) << (w.n & 63)
	w.n += n
}

// carry writes the bytes that are full.
func (w *bitWriter) carry() {
	w.out = binary.LittleEndian.AppendUint64(w.out, w.bits)
	full := w.n >> 3
	w.out = w.out[:len(w.out)-8+int(full)]
	w.bits >>= full << 3 & 63
	w.n &= 7
}

// flush writes all bits, the last byte filled up with zeros, and returns the output.
func (w *bitWriter) flush() []byte {
	w.carry()
	if w.n > 0 {
		w.out = append(w.out, byte(w.bits))
		w.bits, w.n = 0, 0
	}
	return w.out
}

// end marks the end of a stream that is read backwards with a one, RFC 8878 section 4.1.
func (w *bitWriter) end() []byte {
	w.add(1, 1)
	return w.flush()
}
