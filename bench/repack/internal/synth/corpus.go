package synth

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// corpusSize bounds how much text is held.
const corpusSize = 24 << 20

// A Corpus is real text, of which new files are pieced together.
type Corpus struct{ data []byte }

// ReadCorpus reads Go sources below dir, in the order of their paths.
func ReadCorpus(dir string) (*Corpus, error) {
	c := &Corpus{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		c.data = append(c.data, text...)
		if len(c.data) >= corpusSize {
			return fs.SkipAll
		}
		return err
	})
	if err == nil && len(c.data) < 1<<20 {
		err = errors.New("too few Go sources")
	}
	if err != nil {
		return nil, fmt.Errorf("reading sources in %s: %w", dir, err)
	}
	return c, nil
}

// text pieces n bytes together. The pieces are a few lines long, so that files
// compress like sources, and no two are alike.
func (c *Corpus) text(random *rand.Rand, n int) []byte {
	out := make([]byte, 0, n)
	for len(out) < n {
		size := min(n-len(out), 40+random.IntN(400))
		at := random.IntN(len(c.data) - size)
		out = append(out, c.data[at:at+size]...)
	}
	return out
}
