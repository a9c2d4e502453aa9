package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// wrapRunc makes, on a machine whose root lacks capabilities, a runc that asks
// for none of those, and returns its directory; otherwise "". Without it a
// privileged container fails there, since runc insists on what the engine asks.
func wrapRunc(dir string, log *Log) (string, error) {
	lacking, err := lackingCaps()
	if err != nil {
		return "", err
	}
	if len(lacking) == 0 {
		return "", nil
	}
	log.Say("root has no %s on this machine, and neither have privileged containers", strings.Join(lacking, " "))
	runc, ok := lookPath("runc")
	if !ok {
		return "", errors.New("wrapping runc: it is not installed")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("wrapping runc: %w", err)
	}
	self := filepath.Join(dir, "testbed")
	if err := copySelf(self); err != nil {
		return "", fmt.Errorf("wrapping runc: %w", err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %s runc %s \"$@\"\n", shellQuote(self), shellQuote(runc))
	if err := writeFile(filepath.Join(dir, "runc"), []byte(script), 0o755); err != nil {
		return "", fmt.Errorf("wrapping runc: %w", err)
	}
	return dir, nil
}

// RunRunc becomes the runc at args[0] with the other args, after taking out of
// the container's specification the capabilities that this process cannot give.
// It returns only if that fails.
func RunRunc(args []string) error {
	if len(args) == 0 {
		return errors.New("running runc: no path given")
	}
	lacking, err := lackingCaps()
	if err != nil {
		return err
	}
	if spec := specFile(args[1:]); spec != "" && len(lacking) > 0 {
		if err := dropCaps(spec, lacking); err != nil {
			return fmt.Errorf("running runc: %w", err)
		}
	}
	return fmt.Errorf("running runc: %w", unix.Exec(args[0], args, os.Environ()))
}

// specFile finds the file that a runc command line takes its specification from.
func specFile(args []string) string {
	bundle, process := "", ""
	for i, a := range args {
		name, value, joined := strings.Cut(a, "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		switch name {
		case "--bundle", "-b":
			bundle = filepath.Join(value, "config.json")
		case "--process", "-p":
			process = value
		}
	}
	switch {
	case slices.Contains(args, "create"), slices.Contains(args, "run"):
		if bundle == "" {
			return "config.json"
		}
		return bundle
	case slices.Contains(args, "exec"):
		return process
	}
	return ""
}

// dropCaps edits a container's or a process's specification in place.
func dropCaps(path string, lacking []string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec map[string]json.RawMessage
	if err := json.Unmarshal(data, &spec); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	process := spec
	if raw, ok := spec["process"]; ok {
		process = nil
		if err := json.Unmarshal(raw, &process); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
	var caps map[string][]string
	if raw, ok := process["capabilities"]; ok {
		if err := json.Unmarshal(raw, &caps); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
	changed := false
	for set, names := range caps {
		kept := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(lacking, n) })
		changed = changed || len(kept) != len(names)
		caps[set] = kept
	}
	if !changed {
		return nil
	}
	if process["capabilities"], err = json.Marshal(caps); err != nil {
		return err
	}
	if _, ok := spec["process"]; ok {
		if spec["process"], err = json.Marshal(process); err != nil {
			return err
		}
	}
	if data, err = json.Marshal(spec); err != nil {
		return err
	}
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	return writeFile(path, data, fi.Mode().Perm())
}

// capNames are the kernel's capabilities by number.
var capNames = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON
BPF CHECKPOINT_RESTORE`)

// lackingCaps names the capabilities that the kernel knows and this process can
// neither have nor give.
func lackingCaps() ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, fmt.Errorf("reading this process's capabilities: %w", err)
	}
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, fmt.Errorf("reading this process's capabilities: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(last)))
	if err != nil {
		return nil, fmt.Errorf("reading this process's capabilities: %w", err)
	}
	return capsOutside(string(status), n)
}

func capsOutside(status string, last int) ([]string, error) {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			if err != nil {
				return nil, fmt.Errorf("reading this process's capabilities: %w", err)
			}
			var out []string
			for i, name := range capNames {
				if i <= last && set&(1<<i) == 0 {
					out = append(out, "CAP_"+name)
				}
			}
			return out, nil
		}
	}
	return nil, errors.New("reading this process's capabilities: there is no CapBnd")
}

// copySelf puts this program where it outlives a "go run".
func copySelf(dest string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return writeFile(dest, self, 0o755)
}
