package files

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// An Entry is what an image can hold of a file, directory or symbolic link.
type Entry struct {
	Path   string // slash-separated, relative to the project
	Type   string // "file", "dir" or "link"
	Mode   string // permission, setuid, setgid and sticky bits, octal, such as "0755"
	SHA256 string // of a file's bytes, hex
	Target string // of a link
}

// entry describes a file or link; derived is set for what stitch has rendered.
func (t *Tree) entry(name string, info fs.FileInfo) (e Entry, derived bool, err error) {
	if e, ok := t.entries[name]; ok {
		return e, e.Type == "", nil
	}
	defer func() {
		if err == nil {
			t.entries[name] = e
		}
	}()
	e = Entry{Path: name, Type: "file", Mode: mode(info)}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		e.Type = "link"
		e.Mode = "0777"
		target, err := t.root.Readlink(filepath.FromSlash(name))
		e.Target = filepath.ToSlash(target)
		if err == nil && !utf8.ValidString(target) {
			err = fmt.Errorf("target %q is not valid UTF-8", target)
		}
		return e, false, plain(err)
	case !info.Mode().IsRegular():
		return Entry{}, false, errors.New("neither a file, a directory nor a link")
	}
	f, err := t.root.Open(filepath.FromSlash(name))
	if err != nil {
		return Entry{}, false, plain(err)
	}
	defer f.Close()
	if e.SHA256, derived, err = digest(f); err != nil {
		return Entry{}, false, plain(err)
	}
	if derived {
		e = Entry{}
	}
	return e, derived, nil
}

func digest(f *os.File) (sum string, derived bool, err error) {
	head := make([]byte, 4096)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", false, err
	}
	if IsRendered(head[:n]) {
		return "", true, nil
	}
	h := sha256.New()
	h.Write(head[:n])
	if _, err := io.Copy(h, f); err != nil {
		return "", false, err
	}
	return hex.EncodeToString(h.Sum(nil)), false, nil
}

// mode gives the bits that COPY keeps.
func mode(info fs.FileInfo) string {
	bits := uint32(info.Mode().Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if info.Mode()&flag != 0 {
			bits |= bit
		}
	}
	return fmt.Sprintf("%04o", bits)
}
