// Package chunk cuts files into chunks and gathers chunks into packs, the blobs in
// which a registry keeps a disk.
//
// A chunk is known by the SHA-256 of its bytes. A [Cutter] finds the same chunks in
// a file before and after an edit elsewhere in it, so that only what was edited
// is stored again. A [Builder] makes packs of chunks that are big enough to be
// fetched whole, and [Read] takes them apart. docs/design/009-registry-disks.md is
// the specification.
package chunk

import (
	"crypto/sha256"
	"encoding/hex"
)

// An ID is the SHA-256 of a chunk's bytes.
type ID [sha256.Size]byte

// Sum returns the ID of data.
func Sum(data []byte) ID { return sha256.Sum256(data) }

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MaxSize is the size of the biggest chunk in bytes.
const MaxSize = 4 << 20

// An Encoding says what the bytes of a pack are.
type Encoding uint8

const (
	Stored Encoding = 0 // the chunks, one after the other
	Zstd   Encoding = 1 // the same as zstd frames (RFC 8878), one after the other
)

// A Pack is a blob of chunks.
type Pack struct {
	Digest   ID    // of the blob
	Size     int64 // of the blob
	Raw      int64 // of all of its chunks
	Encoding Encoding
}

// A Location is a chunk's place in a pack, in bytes of what the blob decodes to.
type Location struct {
	Pack   *Pack
	Offset int64
}
