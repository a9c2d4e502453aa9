package pkgdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path"
)

// rpmDatabases are where rpm keeps its packages: as SQLite since rpm 4.16, as its
// own ndb, and as Berkeley DB, each where distributions have it.
//
// The readers are ours because a database comes out of an image: the libraries for
// them parse in goroutines of their own, where a panic cannot be caught.
var rpmDatabases = []struct {
	name  string
	blobs func(data []byte, yield func([]byte)) error
}{
	{"usr/lib/sysimage/rpm/rpmdb.sqlite", sqliteBlobs},
	{"var/lib/rpm/rpmdb.sqlite", sqliteBlobs},
	{"usr/lib/sysimage/rpm/Packages.db", ndbBlobs},
	{"var/lib/rpm/Packages.db", ndbBlobs},
	{"usr/lib/sysimage/rpm/Packages", bdbBlobs},
	{"var/lib/rpm/Packages", bdbBlobs},
}

var errDamaged = errors.New("the database is damaged")

// Tags of rpm's headers, by rpmtag.h.
const (
	tagName         = 1000
	tagOldFilenames = 1027
	tagDirIndexes   = 1116
	tagBaseNames    = 1117
	tagDirNames     = 1118
)

// parseHeader returns the name and paths of a package out of its header, as the
// databases hold it: counts of entries and of bytes, the entries (tag, type, offset,
// count), the bytes; all numbers are big-endian.
func parseHeader(blob []byte) (pkg string, paths []string, err error) {
	if len(blob) < 8 {
		return "", nil, errDamaged
	}
	entries, size := int64(binary.BigEndian.Uint32(blob)), int64(binary.BigEndian.Uint32(blob[4:]))
	if 8+16*entries+size > int64(len(blob)) {
		return "", nil, errDamaged
	}
	store := blob[8+16*entries:][:size]
	var dirs, bases, old []string
	var indexes []uint32
	for i := range entries {
		e := blob[8+16*i:]
		tag, off, n := binary.BigEndian.Uint32(e), binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])
		if int64(off) > size {
			return "", nil, errDamaged
		}
		data := store[off:]
		switch tag {
		case tagName:
			for _, s := range texts(data, 1) {
				pkg = s
			}
		case tagDirNames:
			dirs = texts(data, n)
		case tagBaseNames:
			bases = texts(data, n)
		case tagOldFilenames:
			old = texts(data, n)
		case tagDirIndexes:
			for ; n > 0 && len(data) >= 4; n, data = n-1, data[4:] {
				indexes = append(indexes, binary.BigEndian.Uint32(data))
			}
		}
	}
	for i, base := range bases {
		if i < len(indexes) && int64(indexes[i]) < int64(len(dirs)) {
			old = append(old, path.Join(dirs[indexes[i]], base))
		}
	}
	for _, name := range old {
		if name, ok := relative(name); ok {
			paths = append(paths, name)
		}
	}
	return pkg, paths, nil
}

// texts returns at most n texts that end in NUL.
func texts(data []byte, n uint32) []string {
	var out []string
	for ; n > 0; n-- {
		text, rest, ok := bytes.Cut(data, []byte{0})
		if !ok {
			break
		}
		out, data = append(out, string(text)), rest
	}
	return out
}
