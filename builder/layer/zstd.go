package layer

import (
	"io"

	"github.com/klauspost/compress"
	"github.com/klauspost/compress/zstd"
)

// storer is a zstd stream in which what does not compress (textures, music: most of a game) is stored, as raw blocks of
// frames of their own, so that nobody spends time on it, here or on a node (RFC 8878, 3.1.1.2: Raw_Block). The bytes are a
// pure function of the input, however it is cut into writes.
type storer struct {
	w    io.Writer
	enc  *zstd.Encoder
	buf  []byte // room for a block's header, then at most storeUnit
	open frame
}

func newStorer(w io.Writer, enc *zstd.Encoder) *storer {
	return &storer{w: w, enc: enc, buf: make([]byte, blockHeader, blockHeader+storeUnit)}
}

// frame is what the stream is in the middle of.
type frame int

const (
	noFrame frame = iota
	storedFrame
	compressedFrame
)

const (
	// storeUnit is how much is stored or compressed as one: the most that a block may hold.
	storeUnit = 128 << 10
	// blockHeader is the length of a block's header: last block (1 bit), type (2 bits, 0 for raw), size, little-endian.
	blockHeader = 3
	// A unit is judged by this many samples of so many bytes, spread over it.
	storeSamples, storeSample = 8, 1 << 10
	// compressible is the estimate, 0 for noise to 1 for zeros, above which a sample says that compression pays. Measured
	// on SuperTuxKart: 73 % of the bytes are stored, and the layers grow by 0.5 %.
	compressible = 0.2
)

func (s *storer) Reset(w io.Writer) {
	s.w, s.buf, s.open = w, s.buf[:blockHeader], noFrame
	s.enc.Reset(w)
}

func (s *storer) Write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 {
		n := min(len(p), cap(s.buf)-len(s.buf))
		s.buf = append(s.buf, p[:n]...)
		p = p[n:]
		if len(s.buf) == cap(s.buf) {
			if err := s.unit(); err != nil {
				return 0, err
			}
		}
	}
	return all, nil
}

// unit writes what is in the buffer. Header and content of a block go in one piece.
func (s *storer) unit() error {
	b := s.buf
	s.buf = b[:blockHeader]
	if !incompressible(b[blockHeader:]) {
		if err := s.enter(compressedFrame); err != nil {
			return err
		}
		_, err := s.enc.Write(b[blockHeader:])
		return err
	}
	if err := s.enter(storedFrame); err != nil {
		return err
	}
	size := len(b) - blockHeader
	b[0], b[1], b[2] = byte(size<<3), byte(size>>5), byte(size>>13)
	_, err := s.w.Write(b)
	return err
}

func incompressible(b []byte) bool {
	if len(b) < 2*storeSamples*storeSample {
		return false
	}
	for i := range storeSamples {
		at := i * len(b) / storeSamples
		if compress.Estimate(b[at:at+storeSample]) > compressible {
			return false
		}
	}
	return true
}

// storedHeader is a frame's magic number, a descriptor without any option, and a window of 128 KiB.
var storedHeader = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3}

// enter ends the frame that is open, unless it is of this kind, and begins one that is.
func (s *storer) enter(kind frame) error {
	if s.open == kind {
		return nil
	}
	if err := s.leave(); err != nil {
		return err
	}
	s.open = kind
	if kind == storedFrame {
		_, err := s.w.Write(storedHeader)
		return err
	}
	s.enc.Reset(s.w)
	return nil
}

func (s *storer) leave() error {
	switch s.open {
	case storedFrame:
		_, err := s.w.Write([]byte{1, 0, 0}) // an empty block, the last
		return err
	case compressedFrame:
		return s.enc.Close()
	default:
		return nil
	}
}

// Close ends the stream.
func (s *storer) Close() error {
	if len(s.buf) > blockHeader || s.open == noFrame {
		if err := s.unit(); err != nil {
			return err
		}
	}
	err := s.leave()
	s.open = noFrame
	return err
}
