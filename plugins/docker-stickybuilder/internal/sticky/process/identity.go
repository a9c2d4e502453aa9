// Package process knows processes by what they are, not by what they are called:
// a pid together with its start time, held by a pidfd while it is signalled. So
// a recycled pid, or another builder's daemon of the same name, is never hit.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// An ID names one process for as long as the machine is up, and no other one
// ever after.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot, field 22 of /proc/PID/stat
	Boot  string `json:"boot"`  // the kernel's boot id
}

// IsZero reports whether no process is named.
func (id ID) IsZero() bool { return id.PID == 0 }

// Identify gives the identity of the process that has the pid now.
func Identify(pid int) (ID, error) {
	st, err := readStat(pid)
	if err != nil {
		return ID{}, err
	}
	boot, err := bootID()
	if err != nil {
		return ID{}, err
	}
	return ID{PID: pid, Start: st.start, Boot: boot}, nil
}

// Alive reports whether the process still runs. A zombie does not, unless it is only the
// first thread: others of a process that was killed may still be in the kernel, waiting
// for a disk, and hold all files and locks until then.
func (id ID) Alive() bool {
	if id.IsZero() {
		return false
	}
	boot, err := bootID()
	if err != nil || boot != id.Boot {
		return false
	}
	st, err := readStat(id.PID)
	return err == nil && st.start == id.Start && st.state != 'X' && (st.state != 'Z' || st.threads > 1)
}

// BeforeBoot reports whether the process was there before the machine was started.
func (id ID) BeforeBoot() bool {
	boot, err := bootID()
	return err == nil && !id.IsZero() && boot != id.Boot
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

type stat struct {
	state   byte
	ppid    int
	threads int // those that have ended do not count, but for the first one
	start   uint64
}

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

var errStat = errors.New("unexpected contents of /proc/PID/stat")

// parseStat skips the command's name, which may hold anything, by looking for
// the last closing parenthesis. See proc_pid_stat(5).
func parseStat(b []byte) (stat, error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return stat{}, errStat
	}
	fields := strings.Fields(string(b[i+1:]))
	const state, ppid, threads, start = 0, 1, 17, 19 // fields 3, 4, 20 and 22
	if len(fields) <= start || len(fields[state]) != 1 {
		return stat{}, errStat
	}
	p, err := strconv.Atoi(fields[ppid])
	if err != nil {
		return stat{}, fmt.Errorf("%w: %w", errStat, err)
	}
	n, err := strconv.Atoi(fields[threads])
	if err != nil {
		return stat{}, fmt.Errorf("%w: %w", errStat, err)
	}
	s, err := strconv.ParseUint(fields[start], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("%w: %w", errStat, err)
	}
	return stat{state: fields[state][0], ppid: p, threads: n, start: s}, nil
}
