package decompress

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

// maxAhead is the size of the largest block, packed or unpacked, that is held in memory to be decoded beside others.
// xz makes blocks of 24 MiB unless told otherwise.
const maxAhead = 32 << 20

// aheadSlots bounds the blocks that all readers of the process hold at a time. Who gets none does without.
var aheadSlots = make(chan struct{}, min(4, runtime.GOMAXPROCS(0)+1))

// xzBlock is a block's header. A size is -1 if the header does not tell it.
type xzBlock struct {
	compressed, uncompressed int64
	dictionary               int
	header                   int64 // its own length
}

func (b xzBlock) fitsAhead() bool {
	return 0 <= b.compressed && b.compressed <= maxAhead && 0 <= b.uncompressed && b.uncompressed <= maxAhead
}

// history is how much of what was unpacked can be referred to: no more than there is.
func (b xzBlock) history() int {
	if 0 <= b.uncompressed && b.uncompressed < int64(b.dictionary) {
		return max(lzma.MinDictCap, int(b.uncompressed))
	}
	return b.dictionary
}

// unpadded is the size that the index lists.
func (b xzBlock) unpadded(compressed int64, check xzCheck) int64 {
	return b.header + compressed + check.size()
}

// aheadBlock is a block that is decoded in the background. It is nothing but computing on a bounded buffer, so that
// it needs no context.
type aheadBlock struct {
	done    chan struct{} // closed when content and err are set
	content bytes.Reader
	err     error
	cut     error // why the input ended before the block did
	closed  bool
}

// startAhead reads a block that fitsAhead and starts to decode it. It returns nil, and reads nothing, if there is no
// memory for that now.
func startAhead(r io.Reader, b xzBlock, check xzCheck) *aheadBlock {
	select {
	case aheadSlots <- struct{}{}:
	default:
		return nil
	}
	a := &aheadBlock{done: make(chan struct{})}
	packed := make([]byte, (b.compressed+3)/4*4+check.size())
	if _, err := io.ReadFull(r, packed); err != nil {
		a.err, a.cut = cutShort(err), cutShort(err)
		close(a.done)
		return a
	}
	go func() { // Close waits for it
		defer close(a.done)
		var content []byte
		content, a.err = decodeBlock(packed, b, check)
		a.content.Reset(content)
	}()
	return a
}

func decodeBlock(packed []byte, b xzBlock, check xzCheck) ([]byte, error) {
	x := &xzReader{r: bufio.NewReader(bytes.NewReader(packed)), check: check, records: newRecords()}
	s, err := x.streamBlock(b)
	if err != nil {
		return nil, err
	}
	content := make([]byte, b.uncompressed)
	if _, err := io.ReadFull(s, content); err != nil {
		return nil, cutShort(err)
	}
	if n, err := s.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return nil, errors.Join(errWrongSize, err)
	}
	return content, nil
}

func (a *aheadBlock) Read(p []byte) (int, error) {
	<-a.done
	if a.err != nil {
		return 0, a.err
	}
	return a.content.Read(p) //nolint:wrapcheck // io.EOF as promised
}

// Close waits and gives the memory back.
func (a *aheadBlock) Close() error {
	<-a.done
	if !a.closed {
		a.closed = true
		a.content.Reset(nil)
		<-aheadSlots
	}
	return nil
}

var errWrongSize = errors.New("xz block has not the size that its header tells")

// streamedBlock decodes a block as it is read.
type streamedBlock struct {
	x        *xzReader
	block    xzBlock
	packed   counting
	lzma     *lzma.Reader2
	sum      hash.Hash
	unpacked int64
}

func (x *xzReader) streamBlock(b xzBlock) (io.ReadCloser, error) {
	s := &streamedBlock{x: x, block: b, packed: counting{r: x.r}}
	var err error
	if s.sum, err = x.check.new(); err != nil {
		return nil, err
	}
	s.lzma, err = lzma.Reader2Config{DictCap: b.history()}.NewReader2(&s.packed)
	if err != nil {
		return nil, fmt.Errorf("xz: %w", cutShort(err))
	}
	return s, nil
}

// Read returns io.EOF when the block proved whole.
func (s *streamedBlock) Read(p []byte) (int, error) {
	n, err := s.lzma.Read(p)
	s.sum.Write(p[:n])
	s.unpacked += int64(n)
	switch {
	case err == io.EOF && s.lzma.EOS(): //nolint:errorlint // as io.Reader promises it
		if err = s.verify(); err == nil {
			err = io.EOF
		}
	case err != nil:
		err = fmt.Errorf("xz: %w", cutShort(err))
	case s.block.compressed >= 0 && s.packed.n > s.block.compressed:
		err = errWrongSize
	}
	return n, err
}

// verify reads what stands behind the packed bytes.
func (s *streamedBlock) verify() error {
	b := s.block
	if b.compressed >= 0 && b.compressed != s.packed.n || b.uncompressed >= 0 && b.uncompressed != s.unpacked {
		return errWrongSize
	}
	if err := skipPadding(s.x.r, s.packed.n); err != nil {
		return err
	}
	stored := make([]byte, s.x.check.size())
	if _, err := io.ReadFull(s.x.r, stored); err != nil {
		return cutShort(err)
	}
	if !bytes.Equal(stored, s.x.check.stored(s.sum)) {
		return errors.New("xz block does not match its checksum")
	}
	s.x.records.add(b.unpadded(s.packed.n, s.x.check), s.unpacked)
	return nil
}

func (s *streamedBlock) Close() error { return nil }

// counting counts the bytes read.
type counting struct {
	r *bufio.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err //nolint:wrapcheck // a reader passes errors on
}

func (c *counting) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err //nolint:wrapcheck // a reader passes errors on
}
