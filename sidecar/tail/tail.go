// Package tail follows a log file as a game writes it: from its first line, through rotation and truncation, also when the
// file or its folder appears late. Lines come within milliseconds where inotify works, and within a poll where it does not.
package tail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// MaxLine is how much of a line is kept, in bytes: the rest of a longer one is left out.
const MaxLine = 16 << 10

// Poll is how often the file is looked at whatever inotify says: some file systems do not say.
const Poll = 250 * time.Millisecond

// Line is one line of the file, without its end.
type Line struct {
	// Text may be any bytes, and is only valid during the call that it is given to.
	Text []byte
	// Cut says that the line was longer than [MaxLine].
	Cut bool
	// First says that it is the first line of a file: of another one than before, or of one that was truncated.
	First bool
	// Old says that the line was there before Follow was: it tells what is, and nothing of when.
	Old bool
}

// Follow calls line with each line of the file at path until ctx ends. A last line without an end is kept until it has one.
// Each caughtUp is called once, after the old lines. Follow holds at most MaxLine bytes and returns ctx's error.
func Follow(ctx context.Context, path string, line func(Line), caughtUp ...func()) error {
	f := follower{path: path, line: line}
	defer f.close()
	if f.open() {
		if st, err := f.file.Stat(); err == nil {
			f.old = st.Size()
		}
	}
	events := f.notify()
	defer f.unwatch()
	tick := time.NewTicker(Poll)
	defer tick.Stop()
	for {
		f.read(ctx)
		for _, told := range caughtUp {
			told()
		}
		caughtUp = nil
		select {
		case _, ok := <-events:
			if !ok {
				events = nil
			}
		case <-tick.C:
			f.watch() // the folder may be there now
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type follower struct {
	path string
	line func(Line)

	file    *os.File
	offset  int64
	partial []byte
	skip    bool  // the rest of a line that is too long
	later   bool  // the first line of the file is through
	old     int64 // how much of the file was there before

	watcher *fsnotify.Watcher
	watched bool
}

// notify starts to watch the folder; without inotify the channel is nil, and polling has to do.
func (f *follower) notify() <-chan fsnotify.Event {
	w, err := fsnotify.NewBufferedWatcher(64)
	if err != nil {
		return nil
	}
	f.watcher = w
	f.watch()
	return w.Events
}

func (f *follower) watch() {
	if f.watcher != nil && !f.watched {
		f.watched = f.watcher.Add(filepath.Dir(f.path)) == nil
	}
}

func (f *follower) unwatch() {
	if f.watcher != nil {
		_ = f.watcher.Close() // nothing is left to be told
	}
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close() // it was only read
	}
	f.file = nil
	f.rewind()
}

// rewind begins at the start of a file whose content is new.
func (f *follower) rewind() { f.offset, f.partial, f.skip, f.later, f.old = 0, nil, false, false, 0 }

// read takes what is new in the file, and, if another one has its name now, the rest of the old one and then that one.
func (f *follower) read(ctx context.Context) {
	if f.file == nil && !f.open() {
		return
	}
	f.readRest(ctx)
	at, err := os.Stat(f.path)
	if err != nil {
		f.watched = f.watched && !errors.Is(err, os.ErrNotExist) // the folder itself may have gone
		return
	}
	if here, err := f.file.Stat(); err == nil && os.SameFile(at, here) {
		return
	}
	f.readRest(ctx)
	f.close()
	if f.open() {
		f.readRest(ctx)
	}
}

func (f *follower) open() bool {
	file, err := os.Open(f.path)
	if err != nil {
		return false
	}
	f.file = file
	return true
}

func (f *follower) readRest(ctx context.Context) {
	if st, err := f.file.Stat(); err == nil && st.Size() < f.offset { // truncated: what is there now is new
		f.rewind()
	}
	buf := make([]byte, 8<<10)
	for ctx.Err() == nil {
		n, err := f.file.ReadAt(buf, f.offset)
		f.offset += int64(n)
		f.take(buf[:n])
		if err != nil || n == 0 {
			if err != nil && !errors.Is(err, io.EOF) {
				f.close()
			}
			return
		}
	}
}

// take splits what was read into lines.
func (f *follower) take(data []byte) {
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			f.keep(data)
			return
		}
		f.keep(data[:end])
		data = data[end+1:]
		f.line(Line{
			Text: bytes.TrimSuffix(f.partial, []byte("\r")), Cut: f.skip, First: !f.later, Old: f.offset-int64(len(data)) <= f.old,
		})
		f.partial, f.skip, f.later = f.partial[:0], false, true
	}
}

func (f *follower) keep(part []byte) {
	room := MaxLine - len(f.partial)
	if len(part) > room {
		part, f.skip = part[:room], true
	}
	f.partial = append(f.partial, part...)
}
