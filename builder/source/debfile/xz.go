package debfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"

	"github.com/ulikunitz/xz/lzma"
)

// maxAhead is the largest block, packed or unpacked, that is held in memory to be decoded beside others. xz's default
// is 24 MiB.
const maxAhead = 32 << 20

// aheadSlots bounds the blocks held by all readers of the process: at most four of 2*maxAhead and a dictionary each.
var aheadSlots = make(chan struct{}, min(4, runtime.GOMAXPROCS(0)))

// xzReader decodes a stream of xz. Blocks that tell their sizes are decoded several at a time, the others one by one
// as they are read.
type xzReader struct {
	r       *bufio.Reader
	check   xzCheck
	records xzRecords
	inside  bool // a stream: its header was read and its index was not

	ahead   []*aheadBlock // in order
	current io.Reader     // the block being handed out
	held    *xzBlock      // a header read too early: its block is decoded when ahead is empty
	atIndex bool          // likewise
	err     error         // sticky
}

// aheadBlock is a block being decoded in the background.
type aheadBlock struct {
	done    chan struct{} // closed when content or err is set
	content []byte
	err     error
}

func newXZReader(r io.Reader) *xzReader { return &xzReader{r: bufio.NewReaderSize(r, 64<<10)} }

func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.current == nil {
			x.current, x.err = x.nextBlock()
			continue
		}
		n, err := x.current.Read(p)
		if err == io.EOF { //nolint:errorlint // as io.Reader promises it
			x.current, err = nil, nil
		}
		x.err = err
		if n > 0 || len(p) == 0 {
			return n, x.err
		}
	}
	return 0, x.err
}

// Close waits for what is decoded in the background.
func (x *xzReader) Close() error {
	if b, ok := x.current.(*handedOut); ok {
		b.release()
	}
	for _, b := range x.ahead {
		<-b.done
		<-aheadSlots
	}
	x.current, x.ahead, x.err = nil, nil, errors.New("reader is closed")
	return nil
}

// nextBlock returns a reader of the next block's content, or io.EOF behind the last one.
func (x *xzReader) nextBlock() (io.Reader, error) {
	err := x.lookAhead()
	if len(x.ahead) > 0 { // an error behind it is found again
		b := x.ahead[0]
		x.ahead = x.ahead[1:]
		<-b.done
		handed := &handedOut{content: bytes.NewReader(b.content)}
		if b.err != nil {
			handed.release()
			return nil, b.err
		}
		return handed, nil
	}
	if err != nil {
		return nil, err
	}
	if x.atIndex {
		x.atIndex, x.inside = false, false
		return nil, readIndex(x.r, x.check, x.records)
	}
	block := *x.held
	x.held = nil
	return x.decode(block)
}

// lookAhead starts as many blocks as there are slots for, up to one that cannot be decoded ahead.
func (x *xzReader) lookAhead() error {
	for x.held == nil && !x.atIndex {
		if !x.inside {
			if err := x.nextStream(); err != nil {
				return err
			}
		}
		block, ok, err := readBlockHeader(x.r)
		if err != nil {
			return err
		}
		if !ok {
			x.atIndex = true
			return nil
		}
		x.held = &block
	}
	for x.held != nil && x.held.fitsAhead() {
		select {
		case aheadSlots <- struct{}{}:
		default:
			return nil
		}
		if err := x.startAhead(*x.held); err != nil {
			<-aheadSlots
			return err
		}
		x.held = nil
		block, ok, err := readBlockHeader(x.r)
		if err != nil {
			return err
		}
		if !ok {
			x.atIndex = true
			return nil
		}
		x.held = &block
	}
	return nil
}
