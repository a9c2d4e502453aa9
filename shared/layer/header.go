package layer

import (
	"archive/tar"
	"fmt"
	"math"
	"strings"
	"time"
)

const xattrRecord = "SCHILY.xattr."

// newAttributes takes over what engines apply of any tar header. Names of users
// and groups, access and change times are not among that.
func newAttributes(h *tar.Header) (*Inode, error) {
	in := &Inode{
		Mode: uint32(h.Mode & 0o7777),
		Sec:  h.ModTime.Unix(),
		Nsec: int32(h.ModTime.Nanosecond()),
	}
	if h.ModTime.IsZero() { // what archive/tar makes of a header without a time
		in.Sec, in.Nsec = 0, 0
	}
	if h.Uid < 0 || h.Gid < 0 || int64(h.Uid) > math.MaxUint32 || int64(h.Gid) > math.MaxUint32 {
		return nil, fmt.Errorf("owner %d:%d is out of range", h.Uid, h.Gid)
	}
	in.UID, in.GID = uint32(h.Uid), uint32(h.Gid)
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, xattrRecord); ok && name != "" {
			in.Xattrs = append(in.Xattrs, Xattr{name, value})
		}
	}
	sortXattrs(in.Xattrs)
	return in, nil
}

// newInode makes the file that a tar header describes, a hard link's aside.
func newInode(h *tar.Header) (*Inode, error) {
	in, err := newAttributes(h)
	if err != nil {
		return nil, err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		in.Type, in.Size = Regular, h.Size
	case tar.TypeDir:
		in.Type = Directory
	case tar.TypeSymlink:
		// Linux has no mode on symlinks; what writers put there differs.
		in.Type, in.Target, in.Mode = Symlink, h.Linkname, 0o777
		if in.Target == "" || len(in.Target) > maxPath || strings.ContainsRune(in.Target, 0) {
			return nil, fmt.Errorf("symlink target of %d bytes cannot be created", len(in.Target))
		}
	case tar.TypeChar, tar.TypeBlock:
		in.Type = CharDev
		if h.Typeflag == tar.TypeBlock {
			in.Type = BlockDev
		}
		// Linux device numbers have 12 and 20 bits.
		if h.Devmajor < 0 || h.Devmajor >= 1<<12 || h.Devminor < 0 || h.Devminor >= 1<<20 {
			return nil, fmt.Errorf("device number %d:%d is out of range", h.Devmajor, h.Devminor)
		}
		in.Major, in.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	case tar.TypeFifo:
		in.Type = FIFO
	default:
		return nil, fmt.Errorf("%w %q", ErrEntryType, h.Typeflag)
	}
	return in, nil
}

// Header returns the tar header of the file under the given path, which is "."
// for the root. With linkTo not "", the header is a hard link to that path that
// repeats all attributes: an engine that changes the owner while it links would
// otherwise drop the file capabilities that the first member's header set.
//
// The header asks for PAX only where plain ustar cannot say it, so that equal
// files give equal bytes whoever reads them.
func (in *Inode) Header(path, linkTo string) *tar.Header {
	h := &tar.Header{
		Name:    path,
		Mode:    int64(in.Mode),
		Uid:     int(in.UID),
		Gid:     int(in.GID),
		ModTime: time.Unix(in.Sec, int64(in.Nsec)).UTC(),
	}
	// With no format asked for, archive/tar rounds times to the second.
	if in.Nsec != 0 || len(in.Xattrs) > 0 {
		h.Format = tar.FormatPAX
	}
	for _, x := range in.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = make(map[string]string, len(in.Xattrs))
		}
		h.PAXRecords[xattrRecord+x.Name] = x.Value
	}
	if linkTo != "" {
		h.Typeflag, h.Linkname = tar.TypeLink, linkTo
		return h
	}
	switch in.Type {
	case Regular:
		h.Typeflag, h.Size = tar.TypeReg, in.Size
	case Directory:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
	case Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, in.Target
	case CharDev, BlockDev:
		h.Typeflag = tar.TypeChar
		if in.Type == BlockDev {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(in.Major), int64(in.Minor)
	case FIFO:
		h.Typeflag = tar.TypeFifo
	}
	return h
}
