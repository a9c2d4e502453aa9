package repack

import (
	"bytes"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/pkgdb"
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// tierOf says how stable the packages of a manager are.
var tierOf = map[pkgdb.Kind]plan.Tier{
	pkgdb.Deb: plan.System, pkgdb.APK: plan.System, pkgdb.RPM: plan.System,
	pkgdb.Python: plan.Language, pkgdb.Node: plan.Language, pkgdb.Java: plan.Language,
}

// groups reads the package databases of the tree. Problems tells of those that
// cannot be read.
func (s *scanned) groups() (group plan.Grouper, problems []string, err error) {
	reader, err := newSpoolReader()
	if err != nil {
		return nil, nil, err
	}
	defer reader.close()
	owners, problems := pkgdb.Read(s.tree, func(e layer.Entry) ([]byte, error) {
		if e.Size == 0 {
			return nil, nil
		}
		b := bytes.NewBuffer(make([]byte, 0, e.Size))
		segment, off := s.locate(e.Source)
		err := reader.copy(b, segment, off, e.Size)
		return b.Bytes(), err
	})
	return func(name string) plan.Group {
		p, ok := owners.Of(name)
		if !ok {
			return plan.Group{Tier: plan.Own}
		}
		return plan.Group{Tier: tierOf[p.Kind], Key: string(p.Kind) + "/" + p.Name}
	}, problems, nil
}
