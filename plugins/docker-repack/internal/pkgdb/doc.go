// Package pkgdb tells which files of a root filesystem belong to which package, by
// the databases that package managers leave in it.
//
// It is for grouping files, not for inventories: what it cannot read it leaves
// out, a version matters to nobody, and a wrong answer costs nothing but bytes.
// Everything it reads comes out of an image and is not trusted.
package pkgdb
