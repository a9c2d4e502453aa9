package process

import (
	"os"
	"strconv"
	"strings"
)

// An Ancestor is a process above another one.
type Ancestor struct {
	ID   ID
	Name string // as Name returns it
}

// maxAncestors bounds the way up, on which processes may end and be replaced.
const maxAncestors = 64

// Ancestors lists what a process descends from, its parent first and init left
// out. The way ends where a process has ended meanwhile.
func Ancestors(pid int) (out []Ancestor) {
	for range maxAncestors {
		st, err := readStat(pid)
		if err != nil || st.ppid <= 1 {
			return out
		}
		pid = st.ppid
		id, err := Identify(pid)
		if err != nil {
			return out
		}
		out = append(out, Ancestor{id, Name(pid)})
	}
	return out
}

// Name is what the kernel calls a process, at most 15 bytes of its program's name;
// "" if there is no such process.
func Name(pid int) string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return strings.TrimSuffix(string(b), "\n")
}
