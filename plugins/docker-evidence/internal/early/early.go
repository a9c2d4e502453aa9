// Package early keeps the garbage collector out of the program's start.
//
// The docker CLI runs every plugin for its metadata each time it lists plugins,
// and this one links some 1,700 packages, which allocate about 7 MB while they
// initialise: enough to start two collections, a quarter of the time until main.
//
// A package that imports next to nothing is initialised before nearly all others
// (the language specification orders ready packages by import path), so this one
// takes effect in time. [Settle] puts the default back.
package early

import "runtime/debug"

// defaultPercent is what the runtime would have, GOGC included.
var defaultPercent int

func init() { defaultPercent = debug.SetGCPercent(-1) }

// Settle turns the garbage collector on again. Commands call it before they work.
func Settle() { debug.SetGCPercent(defaultPercent) }
