package longzstd

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page of most processors, in bytes.
const hugePage = 2 << 20

// huge returns s after asking the kernel for huge pages under it. Tables and history are
// looked up at random, and each look would need another entry of the page table. Where
// there are none, things are slower, nothing else.
func huge[T any](s []T) []T {
	var one T
	all := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), uintptr(cap(s))*unsafe.Sizeof(one))
	if len(all) < 2*hugePage {
		return s
	}
	skip := -uintptr(unsafe.Pointer(&all[0])) & (hugePage - 1)
	all = all[skip:]
	_ = unix.Madvise(all[:len(all)&^(hugePage-1)], unix.MADV_HUGEPAGE)
	return s
}
