package decompress

import (
	"bufio"
	"errors"
	"io"
)

// xzReader decodes one or more streams of xz. Blocks that tell their sizes are decoded several at a time (see
// aheadBlock), the others as they are read.
type xzReader struct {
	r       *bufio.Reader
	check   xzCheck
	records xzRecords
	inside  bool // a stream: its header was read, its index was not

	// What the input holds next: exactly one of these after advance.
	block  *xzBlock
	index  bool
	failed error // io.EOF at the proper end

	ahead   []*aheadBlock // what was read before that, in order
	current io.ReadCloser // the block being handed out
	err     error         // sticky
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
			err = x.current.Close()
			x.current = nil
		}
		x.err = err
		if n > 0 || len(p) == 0 {
			return n, x.err
		}
	}
	return 0, x.err
}

// Close waits for what is decoded in the background. It may be called more than once.
func (x *xzReader) Close() error {
	if x.current != nil {
		_ = x.current.Close() // frees memory, and the stream's fate is known already
	}
	for _, b := range x.ahead {
		_ = b.Close() // likewise
	}
	x.current, x.ahead, x.err = nil, nil, errors.New("the reader is closed")
	return nil
}

// nextBlock returns the next block's content, nil at the end of a stream, or io.EOF behind the last one.
func (x *xzReader) nextBlock() (io.ReadCloser, error) {
	x.lookAhead()
	switch {
	case len(x.ahead) > 0:
		b := x.ahead[0]
		x.ahead = x.ahead[1:]
		return b, nil
	case x.failed != nil:
		return nil, x.failed
	case x.index:
		x.index, x.inside = false, false
		return nil, readIndex(x.r, x.check, x.records)
	default:
		b := *x.block
		x.block = nil
		return x.streamBlock(b)
	}
}

// lookAhead starts to decode as many blocks as it may.
func (x *xzReader) lookAhead() {
	for x.advance(); x.block != nil && x.block.fitsAhead(); x.advance() {
		b := startAhead(x.r, *x.block, x.check)
		if b == nil {
			return
		}
		x.ahead = append(x.ahead, b)
		x.records.add(x.block.unpadded(x.block.compressed, x.check), x.block.uncompressed)
		x.block, x.failed = nil, b.cut
	}
}

// advance finds out what the input holds next, unless that is known.
func (x *xzReader) advance() {
	if x.failed != nil || x.index || x.block != nil {
		return
	}
	if !x.inside {
		if x.failed = x.nextStream(); x.failed != nil {
			return
		}
	}
	block, ok, err := readBlockHeader(x.r)
	switch {
	case err != nil:
		x.failed = err
	case ok:
		x.block = &block
	default:
		x.index = true
	}
}

// nextStream reads a stream's header. Between streams there may be null bytes.
func (x *xzReader) nextStream() (err error) {
	if x.records.sizes != nil { // not the first
		if err := x.skipStreamPadding(); err != nil {
			return err
		}
	}
	x.check, err = readStreamHeader(x.r)
	x.inside, x.records = true, newRecords()
	return err
}

// skipStreamPadding returns io.EOF if nothing follows.
func (x *xzReader) skipStreamPadding() error {
	for n := 0; ; n++ {
		b, err := x.r.ReadByte()
		switch {
		case err != nil && n%4 == 0:
			return err //nolint:wrapcheck // io.EOF as promised
		case err != nil:
			return cutShort(err)
		case b != 0 && n%4 == 0:
			return x.r.UnreadByte() //nolint:wrapcheck // cannot fail
		case b != 0:
			return errors.New("xz stream padding is damaged")
		}
	}
}
