package pkgdb

import "encoding/binary"

// pageHead is the size of a page's head.
const pageHead = 26

// bdbBlobs yields the package headers of a Berkeley DB hash: the values that lie on
// overflow pages, as all headers do. See db_page.h of Berkeley DB 5.
func bdbBlobs(data []byte, yield func([]byte)) error {
	const (
		hashMagic            = 0x061561
		hashUnsorted, hash   = 2, 13
		offPage, offPageSize = 3, 12
	)
	if len(data) < 512 {
		return errDamaged
	}
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint32(data[12:]) != hashMagic {
		order = binary.BigEndian
	}
	size := int64(order.Uint32(data[20:]))
	if order.Uint32(data[12:]) != hashMagic || size < 512 || size > 64<<10 {
		return errDamaged
	}
	page := func(n int64) []byte {
		if n <= 0 || (n+1)*size > int64(len(data)) {
			return nil
		}
		return data[n*size:][:size]
	}
	left := int64(len(data)) // bytes that values may have: no page is in two of them
	for n := int64(1); ; n++ {
		p := page(n)
		if p == nil {
			return nil
		}
		if kind := p[25]; kind != hash && kind != hashUnsorted {
			continue
		}
		for i := 1; i < int(order.Uint16(p[20:])) && pageHead+2*i+2 <= len(p); i += 2 { // values stand after keys
			at := int(order.Uint16(p[pageHead+2*i:]))
			if at+offPageSize > len(p) || p[at] != offPage {
				continue
			}
			next, length := int64(order.Uint32(p[at+4:])), int64(order.Uint32(p[at+8:]))
			if left -= length; left < 0 {
				return errDamaged
			}
			blob, err := bdbChain(page, order, next, length)
			if err != nil {
				return err
			}
			yield(blob)
		}
	}
}

// bdbChain returns a value of a length, which is more than nothing, that begins on
// an overflow page.
func bdbChain(page func(int64) []byte, order binary.ByteOrder, next, length int64) ([]byte, error) {
	const overflow = 7
	blob := make([]byte, 0, length)
	for int64(len(blob)) < length {
		o := page(next)
		if o == nil || o[25] != overflow {
			return nil, errDamaged
		}
		used := min(int64(order.Uint16(o[22:])), int64(len(o))-pageHead, length-int64(len(blob)))
		if used == 0 {
			return nil, errDamaged
		}
		blob = append(blob, o[pageHead:][:used]...)
		next = int64(order.Uint32(o[16:]))
	}
	return blob, nil
}
