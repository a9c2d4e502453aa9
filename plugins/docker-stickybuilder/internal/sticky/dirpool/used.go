package dirpool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// touch notes that a generation is cloned, by the time of its lock. A pool in which that
// is not possible tells of commits only.
func (p *Pool) touch(l disk.Lineage, id string) {
	now := p.options.Now()
	_ = os.Chtimes(filepath.Join(p.generation(l, id), "lock"), now, now)
}

// Used returns when a lineage was last cloned or committed, zero if never.
func (p *Pool) Used(ctx context.Context, l disk.Lineage) (used time.Time, err error) {
	ids, err := p.Generations(ctx, l)
	if err != nil {
		return used, fmt.Errorf("finding out when the disk %s was used: %w", l, err)
	}
	for _, id := range ids {
		at := idTime(id) // what cannot be described was begun then
		if g, err := p.meta(filepath.Join(p.generation(l, id), "meta.json")); err == nil {
			at = g.Created
		}
		if st, err := os.Stat(filepath.Join(p.generation(l, id), "lock")); err == nil && st.ModTime().After(at) {
			at = st.ModTime()
		}
		if at.After(used) {
			used = at
		}
	}
	return used, nil
}
