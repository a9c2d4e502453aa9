// Package testbed makes a bare Debian or Ubuntu machine able to do the suite's
// job: packages, pinned tools, a loopback registry, a Debian base image and,
// where a test needs one, a Docker engine.
//
// [Bed.Up] brings up what a [Profile] asks for and [Bed.Down] stops what Up
// started. Everything lives below one cache directory ([Dirs]); what runs is
// recorded in a state file there, so that any number of processes can read it
// with [Load]. Nothing of the user's is replaced: tools are built beside theirs,
// an engine that answers is used as it is, and a process is only ever signalled
// if its pid and start time are the recorded ones.
//
// It compiles in seconds, because a demo runs it before anything else: outside
// of the standard library it imports golang.org/x/sys alone.
package testbed
