package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Types of events.
const (
	eventBaseline = "baseline" // Refs rode along on the disk
	eventStarted  = "started"
	eventComplete = "complete"
	eventExit     = "exit" // the daemon died by itself; Message says how
)

type event struct {
	Time    time.Time `json:"time"`
	Type    string    `json:"type"`
	Build   *Build    `json:"build,omitempty"`
	Refs    []string  `json:"refs,omitempty"`
	Message string    `json:"message,omitempty"`
}

// A Journal is a file of JSON lines, one for each event, that are on the disk
// before append returns. It is safe for concurrent use.
type Journal struct {
	mu sync.Mutex
	f  *os.File
}

// OpenJournal opens the journal at path for appending. A last line that a crash
// cut short is ended, so that what follows stands on a line of its own.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := endLine(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("opening journal %s: %w", path, err)
	}
	return &Journal{f: f}, nil
}

func endLine(f *os.File) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], end-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.Write([]byte{'\n'})
	return err
}

func (j *Journal) append(e event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing journal: %w", err)
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("writing journal: %w", err)
	}
	return nil
}

// Exit notes that the daemon died by itself.
func (j *Journal) Exit(at time.Time, how string) error {
	return j.append(event{Time: at.UTC(), Type: eventExit, Message: how})
}

// Close closes the file.
func (j *Journal) Close() error { return j.f.Close() }

// A Story is what a journal tells.
type Story struct {
	Builds  []Build // in the order in which they were started
	Exit    string  // how the daemon died by itself; "" if it did not
	Damaged int     // lines that cannot be read, other than a cut-off last one
}

// ReadJournal reads the journal at path; a missing one tells an empty story.
func ReadJournal(path string) (Story, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Story{}, nil
	}
	if err != nil {
		return Story{}, err
	}
	defer f.Close()
	s, err := readStory(f)
	if err != nil {
		return Story{}, fmt.Errorf("reading journal %s: %w", path, err)
	}
	return s, nil
}

// maxLine bounds a journal's line; the longest, a baseline, holds a few hundred refs.
const maxLine = 4 << 20

func readStory(r io.Reader) (Story, error) {
	var t teller
	in := bufio.NewReader(r)
	for {
		line, ended, err := boundedLine(in)
		if err != nil {
			return Story{}, err
		}
		if len(bytes.TrimSpace(line)) > 0 {
			t.read(line, ended)
		}
		if !ended {
			return t.story(), nil
		}
	}
}

// read takes in one line; one that has no end was cut short by a crash.
func (t *teller) read(line []byte, ended bool) {
	var e event
	switch {
	case !ended:
	case len(line) <= maxLine && json.Unmarshal(line, &e) == nil:
		t.tell(e)
	default:
		t.damaged++
	}
}

// boundedLine reads to the end of a line, or of the file, and keeps no more of it
// than shows that it is too long.
func boundedLine(in *bufio.Reader) (line []byte, ended bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(line) <= maxLine {
			line = append(line, part...)
		}
		switch {
		case err == nil:
			return line, true, nil
		case errors.Is(err, io.EOF):
			return line, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}
