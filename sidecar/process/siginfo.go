package process

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// childOf is the process that waitid(2) found; the library leaves this part of the structure opaque. On Linux's 64-bit
// platforms the process ID follows four 32-bit words: signal, error, code and padding.
func childOf(info *unix.Siginfo) int {
	return int((*[5]int32)(unsafe.Pointer(info))[4])
}
