package daemon

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A working copy is nobody's before it is committed, and the commit syncs all of it; what
// a machine that dies leaves of one is thrown away. So no sync before that has a use, and
// BuildKit makes some two hundred even for a build that is cached to the last step, not
// to speak of package managers in RUN steps.
//
// ignoreSyncs makes processes that the calling thread starts from now on, and all that
// come from them, believe that what they sync was synced. The thread stays so: it must end
// with its goroutine. Where the kernel does not allow it, all is as before.
//
// Data still goes to the disk in the kernel's own time, and a write that failed is reported
// to the sync of the commit.
func ignoreSyncs() {
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if arch == 0 {
		return
	}
	// struct seccomp_data has the call's number first, and then the architecture; calls
	// of another one, such as those of 32-bit programs, pass.
	const number, architecture = 0, 4
	calls := []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNCFS, unix.SYS_SYNC}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: architecture},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jf: uint8(len(calls) + 1)},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
	}
	for i, c := range calls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: c, Jt: uint8(len(calls) - i)})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO}, // with 0: done
	)
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// SPEC_ALLOW: this is no sandbox, and shall cost nothing.
	_, _, _ = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
}
