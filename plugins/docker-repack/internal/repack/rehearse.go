package repack

import "github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"

// rehearse carries a plan out as if all came out as it is estimated, so that a
// preview shows the layers that there will be and not those that are begun.
func rehearse(p *plan.Plan) *plan.Plan {
	for p.Waits() {
		ends := make([]plan.End, len(p.Layers))
		for i, l := range p.Layers {
			if l.Waits || l.Written {
				continue
			}
			end := &ends[i]
			g := gauge{limit: l.Limit, flush: func() (int64, error) { return int64(end.Size), nil }}
			for family := range l.Families() {
				if g.admit(family...) {
					for _, u := range family {
						end.Size += u.Cost
					}
				}
			}
			end.Rest = g.rest
		}
		p, _ = p.Settle(ends)
	}
	return p
}
