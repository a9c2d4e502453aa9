//go:build !linux

package repack

import "errors"

func newUnnamed(dir string) (*unnamed, error) { return newTemporary(dir) }

func (u *unnamed) link(string) error { return errors.ErrUnsupported }
