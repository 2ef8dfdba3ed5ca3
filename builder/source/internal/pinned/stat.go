package pinned

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/builder/memo"
)

// Stat is what the kernel says about a file, in the same form on every system.
type Stat struct {
	memo.Stat
	Mode  uint32 // type and permission bits as in unix.S_IF…
	Nlink uint64
}

// Lstat looks at name in the open directory dir without following a symlink.
func Lstat(dir *os.File, name string, taken time.Time) (Stat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return Stat{}, &os.PathError{Op: "lstat", Path: name, Err: err}
	}
	return newStat(&st, taken), nil
}

// Fstat looks at an open file.
func Fstat(f *os.File, taken time.Time) (Stat, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil {
		return Stat{}, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	return newStat(&st, taken), nil
}

// newStat widens the fields whose types differ between Linux, macOS and their architectures.
func newStat(st *unix.Stat_t, taken time.Time) Stat {
	return Stat{
		Stat: memo.Stat{
			Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(),
			Inode: st.Ino, Dev: uint64(st.Dev), //nolint:unconvert // int32 on macOS
			Taken: taken.UnixNano(),
		},
		Mode:  uint32(st.Mode),  //nolint:unconvert // uint16 on macOS
		Nlink: uint64(st.Nlink), //nolint:unconvert // differs by architecture
	}
}

// Readlink reads the symlink name in the open directory dir.
func Readlink(dir *os.File, name string) (string, error) {
	var n int
	buf := make([]byte, unix.PathMax)
	err := retry(func() (err error) {
		n, err = unix.Readlinkat(int(dir.Fd()), name, buf)
		return err
	})
	if err == nil && n == len(buf) {
		err = syscall.ENAMETOOLONG
	}
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}

// retry repeats a system call that a signal interrupted, which network file systems let happen.
func retry(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR { //nolint:errorlint // a bare errno
			return err
		}
	}
}
