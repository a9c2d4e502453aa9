package repack

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

const (
	// maxHidden bounds the names that are kept of what layers hide.
	maxHidden = 1 << 20
	// maxSecrets bounds the list of what looks like a secret.
	maxSecrets = 1000
	// sniffed is how much of a dead file is looked at, and maxKey how large a file
	// may be for that: a key has its header at the beginning and is small.
	sniffed, maxKey = 512, 1 << 20
)

// DeadFiles are files that only lower layers have: deleted or replaced later on,
// they take room and can still be read by whoever has the image.
type DeadFiles struct {
	Files []DeadFile `json:"files"` // largest first
	More  int        `json:"more"`  // files that are not listed
	// Secrets are those, of all sizes, that look like secrets, by path.
	Secrets     []DeadFile `json:"secrets"`
	MoreSecrets int        `json:"moreSecrets"`
	// Unseen counts names beyond the million that are looked at.
	Unseen int `json:"unseen,omitempty"`
}

// A DeadFile is one of [DeadFiles].
type DeadFile struct {
	Path  string   `json:"path"`
	Links []string `json:"links,omitempty"` // other names that it had
	Bytes int64    `json:"bytes"`
	Layer int      `json:"layer"` // that has its content, counted from 0
	By    int      `json:"by"`    // that hid its last name
	How   string   `json:"how"`   // deleted, emptied, replaced or unlinked
	// Kept says that another file of the root filesystem has the same content.
	Kept bool `json:"kept,omitempty"`
	// Secret says what kind of secret the file looks like, "" for none.
	Secret string `json:"secret,omitempty"`
}

// A graveyard keeps the names of files with content that layers hide.
type graveyard struct {
	names []layer.Hidden
	more  int
}

func (g *graveyard) add(h layer.Hidden) {
	switch {
	case h.Type != layer.Regular || h.Size == 0:
	case len(g.names) == maxHidden:
		g.more++
	default:
		g.names = append(g.names, h)
	}
}

// exhume returns the dead files in the order of their contents.
func exhume(ctx context.Context, s *scanned) ([]DeadFile, error) {
	live, sums := map[*layer.Inode]bool{}, map[layer.Sum]bool{}
	for in := range files(s.tree) {
		live[in], sums[in.Sum] = true, true
	}
	names := map[*layer.Inode][]layer.Hidden{}
	var inodes []*layer.Inode
	for _, h := range s.hidden.names {
		if live[h.Inode] {
			continue
		}
		if names[h.Inode] == nil {
			inodes = append(inodes, h.Inode)
		}
		names[h.Inode] = append(names[h.Inode], h)
	}
	slices.SortFunc(inodes, func(a, b *layer.Inode) int { return a.Source.Compare(b.Source) })
	reader, err := newSpoolReader()
	if err != nil {
		return nil, err
	}
	defer reader.close()
	out := make([]DeadFile, 0, len(inodes))
	for _, in := range inodes {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		f := bury(in, names[in])
		f.Kept = sums[in.Sum]
		if f.Secret == "" {
			if f.Secret, err = s.sniff(reader, in); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// bury makes one dead file of all the names that led to it. Of several, a name
// that looks like a secret stands for them all.
func bury(in *layer.Inode, names []layer.Hidden) DeadFile {
	last := names[len(names)-1]
	f := DeadFile{Path: names[0].Path, Bytes: in.Size, Layer: int(in.Source.Layer), By: last.By, How: last.How.String()}
	for _, h := range names {
		if kind := secretName(h.Path); kind != "" {
			f.Path, f.Secret = h.Path, kind
			break
		}
	}
	for _, h := range names {
		if h.Path != f.Path && !slices.Contains(f.Links, h.Path) && len(f.Links) < shownPaths {
			f.Links = append(f.Links, h.Path)
		}
	}
	return f
}

// sniff looks for the header of a private key.
func (s *scanned) sniff(r *spoolReader, in *layer.Inode) (string, error) {
	if in.Size > maxKey {
		return "", nil
	}
	var b bytes.Buffer
	c := s.contents[in.Source.Layer]
	if err := r.copy(&b, c.segment, c.offset(in.Source.Ordinal), min(in.Size, sniffed)); err != nil {
		return "", err
	}
	return secretPrefix(b.Bytes()), nil
}

func listDead(all []DeadFile, unseen, top int) DeadFiles {
	out := DeadFiles{Files: []DeadFile{}, Secrets: []DeadFile{}, Unseen: unseen, More: max(0, len(all)-top)}
	for _, f := range all {
		if f.Secret != "" {
			out.Secrets = append(out.Secrets, f)
		}
	}
	slices.SortStableFunc(out.Secrets, func(a, b DeadFile) int { return cmp.Compare(a.Path, b.Path) })
	if n := len(out.Secrets); n > maxSecrets {
		out.Secrets, out.MoreSecrets = out.Secrets[:maxSecrets], n-maxSecrets
	}
	bySize := slices.Clone(all)
	slices.SortStableFunc(bySize, func(a, b DeadFile) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Path, b.Path))
	})
	out.Files = append(out.Files, bySize[:min(len(bySize), top)]...)
	return out
}
