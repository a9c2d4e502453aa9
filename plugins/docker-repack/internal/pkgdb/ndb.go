package pkgdb

import "encoding/binary"

// ndbBlobs yields the package headers of a database in rpm's own format: after a
// head of 32 bytes, pages of slots, which say in units of 16 bytes where the
// packages are. Numbers are little-endian. See lib/backend/ndb/rpmpkg.c of rpm.
func ndbBlobs(data []byte, yield func([]byte)) error {
	const (
		magic, slotMagic, blobMagic = "RpmP", "Slot", "BlbS"
		page, head, slot, unit      = 4096, 32, 16, 16
	)
	if len(data) < head || string(data[:4]) != magic {
		return errDamaged
	}
	end := int64(binary.LittleEndian.Uint32(data[12:])) * page
	for at := int64(head); at < end && at+slot <= int64(len(data)); at += slot {
		s := data[at : at+slot]
		if string(s[:4]) != slotMagic {
			return errDamaged
		}
		index, off := binary.LittleEndian.Uint32(s[4:]), int64(binary.LittleEndian.Uint32(s[8:]))*unit
		if index == 0 || off == 0 {
			continue // free
		}
		if off+unit > int64(len(data)) {
			return errDamaged
		}
		blob := data[off:]
		size := int64(binary.LittleEndian.Uint32(blob[12:]))
		if string(blob[:4]) != blobMagic || unit+size > int64(len(blob)) {
			return errDamaged
		}
		yield(blob[unit:][:size])
	}
	return nil
}
