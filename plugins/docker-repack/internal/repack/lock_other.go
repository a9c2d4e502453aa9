//go:build !unix

package repack

// lockDir does nothing where directories have no locks.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }
