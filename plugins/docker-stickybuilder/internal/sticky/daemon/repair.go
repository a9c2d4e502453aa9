package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// expendable are the databases that the daemon makes anew, with what that costs.
var expendable = map[string]string{
	"history.db": "the history of earlier builds",
	"cache.db":   "one cold build; cache mounts are kept",
}

// Repair makes the root of a daemon that has ended usable again by dropping what
// it can do without, if found, the error of Check, is about nothing else. It
// returns what that costs the user, "" if nothing. ok is false if there is more wrong
// with the disk than can be repaired; it is as it was then.
func Repair(root string, found error) (cost string, ok bool, err error) {
	damaged := damages(found)
	if len(damaged) == 0 {
		return "", false, nil
	}
	var costs []string
	for _, d := range damaged {
		if d == nil {
			return "", false, nil
		}
		switch c := expendable[d.Name]; {
		case c != "":
			costs = append(costs, c)
		case filepath.Base(d.Name) != workerFile || len(damaged) > 1:
			return "", false, nil
		default:
			if err := nameWorker(root, d.Name); err != nil {
				return "", false, nil //nolint:nilerr // then it cannot be repaired
			}
		}
	}
	for _, d := range damaged {
		if expendable[d.Name] == "" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, d.Name)); err != nil {
			return "", false, fmt.Errorf("dropping %s: %w", d.Name, err)
		}
	}
	return strings.Join(costs, ", and "), true, nil
}

// damages takes apart what Check has joined; nil stands for what is no database's.
func damages(err error) (out []*DatabaseError) {
	switch e := err.(type) { //nolint:errorlint // what wraps a database's error is more than that
	case nil:
	case *DatabaseError:
		out = append(out, e)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			out = append(out, damages(one)...)
		}
	default:
		out = append(out, nil)
	}
	return out
}
