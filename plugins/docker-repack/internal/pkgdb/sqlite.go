package pkgdb

import "encoding/binary"

// sqliteBlobs yields the package headers of an SQLite database: the blobs of the
// table Packages. A write-ahead log that was not merged is left out of account.
// See https://www.sqlite.org/fileformat.html, sections 1.3, 1.6 and 2.
func sqliteBlobs(data []byte, yield func([]byte)) error {
	if len(data) < 100 || string(data[:16]) != "SQLite format 3\x00" {
		return errDamaged
	}
	db := sqlite{data: data, size: int64(binary.BigEndian.Uint16(data[16:]))}
	if db.size == 1 {
		db.size = 64 << 10
	}
	db.usable = db.size - int64(data[20])
	if db.size < 512 || db.usable < 480 {
		return errDamaged
	}
	root := int64(0)
	err := db.table(1, func(columns [][]byte) {
		// type, name, tbl_name, rootpage, sql
		if len(columns) >= 4 && string(columns[0]) == "table" && string(columns[1]) == "Packages" {
			for _, b := range columns[3] {
				root = root<<8 | int64(b)
			}
		}
	})
	if err != nil {
		return err
	}
	db.seen = nil
	return db.table(root, func(columns [][]byte) {
		if len(columns) >= 2 && len(columns[1]) > 0 {
			yield(columns[1])
		}
	})
}

type sqlite struct {
	data         []byte
	size, usable int64
	seen         map[int64]bool
}

func (db *sqlite) page(n int64) ([]byte, error) {
	if n < 1 || n*db.size > int64(len(db.data)) || db.seen[n] {
		return nil, errDamaged
	}
	if db.seen == nil {
		db.seen = map[int64]bool{}
	}
	db.seen[n] = true
	return db.data[(n-1)*db.size:][:db.size], nil
}

// table calls row with the columns of each row of the table whose tree begins at a
// page.
func (db *sqlite) table(n int64, row func([][]byte)) error {
	const interior, leaf = 5, 13
	p, err := db.page(n)
	if err != nil {
		return err
	}
	head := 0
	if n == 1 {
		head = 100
	}
	kind, cells, pointers := p[head], int(binary.BigEndian.Uint16(p[head+3:])), head+8
	if kind == interior {
		pointers += 4
	}
	if (kind != interior && kind != leaf) || pointers+2*cells > len(p) {
		return errDamaged
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(p[pointers+2*i:]))
		if at+4 > len(p) {
			return errDamaged
		}
		if kind == interior {
			if err := db.table(int64(binary.BigEndian.Uint32(p[at:])), row); err != nil {
				return err
			}
			continue
		}
		payload, err := db.payload(p[at:])
		if err != nil {
			return err
		}
		columns, err := record(payload)
		if err != nil {
			return err
		}
		row(columns)
	}
	if kind == interior {
		return db.table(int64(binary.BigEndian.Uint32(p[head+8:])), row)
	}
	return nil
}

// payload returns the content of a leaf's cell, with what has overflowed to other
// pages.
func (db *sqlite) payload(cell []byte) ([]byte, error) {
	size, cell, ok := varint(cell)
	if ok {
		_, cell, ok = varint(cell) // the row's id
	}
	if !ok || size < 0 || size > int64(len(db.data)) {
		return nil, errDamaged
	}
	local := size
	if most := db.usable - 35; size > most {
		least := (db.usable-12)*32/255 - 23
		if local = least + (size-least)%(db.usable-4); local > most {
			local = least
		}
	}
	if local > int64(len(cell)) {
		return nil, errDamaged
	}
	if local == size {
		return cell[:size], nil
	}
	out := append(make([]byte, 0, size), cell[:local]...)
	cell = cell[local:]
	for int64(len(out)) < size {
		if len(cell) < 4 {
			return nil, errDamaged
		}
		p, err := db.page(int64(binary.BigEndian.Uint32(cell)))
		if err != nil {
			return nil, err
		}
		cell = p
		out = append(out, p[4:][:min(db.usable-4, size-int64(len(out)))]...)
	}
	return out, nil
}

// record returns the columns of a row, integers as their bytes.
func record(payload []byte) ([][]byte, error) {
	size, types, ok := varint(payload)
	if !ok || size < int64(len(payload)-len(types)) || size > int64(len(payload)) {
		return nil, errDamaged
	}
	types, body := types[:size-int64(len(payload)-len(types))], payload[size:]
	var out [][]byte
	for len(types) > 0 {
		var kind int64
		if kind, types, ok = varint(types); !ok || kind < 0 {
			return nil, errDamaged
		}
		length := int64(0)
		switch {
		case kind >= 12:
			length = (kind - 12) / 2
		case kind <= 4:
			length = kind
		case kind == 5:
			length = 6
		case kind <= 7:
			length = 8
		}
		if length > int64(len(body)) {
			return nil, errDamaged
		}
		out, body = append(out, body[:length]), body[length:]
	}
	return out, nil
}

// varint reads SQLite's integers of 1 to 9 bytes.
func varint(b []byte) (int64, []byte, bool) {
	n := uint64(0)
	for i := range min(len(b), 9) {
		if i == 8 {
			return int64(n<<8 | uint64(b[i])), b[9:], true
		}
		n = n<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return int64(n), b[i+1:], true
		}
	}
	return 0, nil, false
}
