package pkgdb

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// A Kind is a package manager, or the like.
type Kind string

// The kinds of package that are known.
const (
	Deb    Kind = "deb"
	APK    Kind = "apk"
	RPM    Kind = "rpm"
	Python Kind = "python"
	Node   Kind = "node"
	Java   Kind = "java" // an archive
)

// A Package is what files belong to. Its name has no version.
type Package struct {
	Kind Kind
	Name string
}

// A Reader returns the content of a regular file of the tree, or an error.
type Reader func(layer.Entry) ([]byte, error)

// maxDatabase bounds what is read of one database: the largest ones of
// distributions have about 200 MB.
const maxDatabase = 512 << 20

// Owners knows the packages of a tree.
type Owners struct {
	files map[string]Package
	// dirs are directories in which one package alone has files: what is below them
	// without being listed, such as compiled Python modules, is that package's too.
	dirs map[string]Package
}

// Read reads the package databases of a tree. Problems tells of those that could
// not be read, in words; their packages' files have no owner.
func Read(tree *layer.Tree, read Reader) (o *Owners, problems []string) {
	o = &Owners{files: map[string]Package{}, dirs: map[string]Package{}}
	c := collector{tree: tree, owners: o, links: map[string]string{}, common: map[string]bool{}}
	load := func(e layer.Entry) ([]byte, bool) {
		if e.Type != layer.Regular || e.Size > maxDatabase {
			return nil, false
		}
		data, err := read(e)
		if err != nil {
			problems = append(problems, fmt.Sprintf("reading %q: %v", e.Path, err))
		}
		return data, err == nil
	}
	var records []layer.Entry
	for e := range tree.All() {
		switch {
		case strings.HasPrefix(e.Path, dpkgInfo) && strings.HasSuffix(e.Path, ".list"),
			strings.HasPrefix(e.Path, dpkgStatus) && strings.HasSuffix(e.Path, ".md5sums"):
			if data, ok := load(e); ok {
				c.addDeb(e.Path, data)
			}
		case strings.HasSuffix(e.Path, ".dist-info/RECORD"):
			records = append(records, e)
		case e.Path == apkInstalled:
			if data, ok := load(e); ok {
				parseInstalled(data, func(pkg string, paths []string) { c.add(Package{APK, pkg}, paths) })
			}
		}
	}
	for _, db := range rpmDatabases {
		e, ok := tree.Lookup(db.name)
		if !ok || e.Size == 0 {
			continue
		}
		if data, ok := load(e); ok {
			if err := db.blobs(data, c.addHeader); err != nil {
				problems = append(problems, fmt.Sprintf("reading %q: %v", e.Path, err))
			}
		}
	}
	for _, e := range records {
		site, _, _ := sitePackages(e.Path)
		pkg, ok := distribution(path.Base(path.Dir(e.Path)))
		if data, read := load(e); ok && read {
			c.add(Package{Python, pkg}, parseRecord(data, site))
		}
	}
	for dir := range c.common {
		delete(o.dirs, dir)
	}
	return o, problems
}

// Of returns the package that a path belongs to.
func (o *Owners) Of(name string) (Package, bool) {
	if p, ok := o.files[name]; ok {
		return p, true
	}
	if pkg, ok := dpkgPackage(name); ok {
		return Package{Deb, pkg}, true
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if p, ok := o.dirs[dir]; ok {
			return p, true
		}
	}
	if dir, ok := nodePackage(name); ok {
		return Package{Node, dir}, true
	}
	if _, top, ok := sitePackages(name); ok {
		if pkg, ok := distribution(top); ok {
			return Package{Python, pkg}, true
		}
		return Package{Python, strings.ToLower(strings.TrimSuffix(top, ".py"))}, true
	}
	if name, ok := jar(name); ok {
		return Package{Java, name}, true
	}
	return Package{}, false
}

// A collector enters what databases say.
type collector struct {
	tree   *layer.Tree
	owners *Owners
	links  map[string]string // directories by what they are without symlinks
	common map[string]bool   // directories that several packages have
}

// add gives a package its paths. The first package to have a file keeps it, and
// with it its hard links.
func (c *collector) add(pkg Package, paths []string) {
	for _, name := range paths {
		if len(name) > maxPath {
			continue
		}
		dir, ok := c.resolve(path.Dir(name), 0)
		if !ok {
			continue
		}
		name = path.Join(dir, path.Base(name))
		e, ok := c.tree.Lookup(name)
		if !ok {
			continue
		}
		if e.Type == layer.Directory {
			continue
		}
		if _, taken := c.owners.files[name]; !taken {
			c.owners.files[name] = pkg
		}
		c.directory(pkg, path.Dir(name))
	}
}

// addHeader adds a package of rpm's.
func (c *collector) addHeader(blob []byte) {
	if pkg, paths, err := parseHeader(blob); err == nil && pkg != "" {
		c.add(Package{RPM, pkg}, paths)
	}
}

// addDeb adds what a file of dpkg's database says.
func (c *collector) addDeb(name string, data []byte) {
	if pkg, ok := strings.CutSuffix(path.Base(name), ".md5sums"); ok {
		c.add(Package{Deb, pkg}, parseSums(data))
		return
	}
	if pkg, ok := dpkgPackage(name); ok {
		c.add(Package{Deb, pkg}, parseList(data))
	}
}

// directory notes that a package has a file in a directory.
func (c *collector) directory(pkg Package, dir string) {
	if old, known := c.owners.dirs[dir]; known && old != pkg {
		c.common[dir] = true
		return
	}
	c.owners.dirs[dir] = pkg
}

// resolve follows the symlinks in a directory's path: databases say /lib where
// distributions have merged it into /usr/lib. What is not there is not remembered:
// databases may say anything.
func (c *collector) resolve(dir string, depth int) (string, bool) {
	if dir == "." {
		return dir, true
	}
	if to, ok := c.links[dir]; ok {
		return to, true
	}
	parent, ok := c.resolve(path.Dir(dir), depth)
	if !ok {
		return "", false
	}
	to := path.Join(parent, path.Base(dir))
	e, ok := c.tree.Lookup(to)
	if ok && e.Type == layer.Symlink && depth < maxLinks {
		target := e.Target
		if !path.IsAbs(target) {
			target = path.Join("/", parent, target)
		}
		to = "."
		if clean, below := relative(target); below {
			to, ok = c.resolve(clean, depth+1)
		}
	}
	if ok {
		c.links[dir] = to
	}
	return to, ok
}

const (
	// maxLinks is how many symlinks on the way to a directory are followed.
	maxLinks = 16
	// maxPath is the length of the longest path that Linux has.
	maxPath = 4095
)

// Kinds lists the kinds of the packages that a tree has, sorted.
func (o *Owners) Kinds() []Kind {
	var out []Kind
	for _, p := range o.files {
		if !slices.Contains(out, p.Kind) {
			out = append(out, p.Kind)
		}
	}
	slices.Sort(out)
	return out
}
