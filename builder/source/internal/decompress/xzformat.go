package decompress

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// The parts of an .xz file around its LZMA2 data (The .xz File Format, version 1.2.1). The library's own container
// reader takes as much memory for history as a block header asks for, up to 4 GiB, and decodes one block at a time.

const (
	xzHeaderMagic = "\xfd7zXZ\x00"
	xzFooterMagic = "YZ"
	xzLZMA2       = 0x21
)

var crc64Table = crc64.MakeTable(crc64.ECMA)

// xzCheck makes the hash with which a stream secures its blocks, and its length.
type xzCheck byte

func (c xzCheck) new() (hash.Hash, error) {
	switch c {
	case 0:
		return noCheck{}, nil
	case 1:
		return crc32.NewIEEE(), nil
	case 4:
		return crc64.New(crc64Table), nil
	case 10:
		return sha256.New(), nil
	default:
		return nil, fmt.Errorf("xz check type %d is not supported", c)
	}
}

// stored turns a sum of package hash into the order of bytes that xz stores: CRCs are little-endian there.
func (c xzCheck) stored(h hash.Hash) []byte {
	sum := h.Sum(nil)
	if c != 10 {
		for i, j := 0, len(sum)-1; i < j; i, j = i+1, j-1 {
			sum[i], sum[j] = sum[j], sum[i]
		}
	}
	return sum
}

// size is the length of what stored returns.
func (c xzCheck) size() int64 {
	return [...]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[c]
}

type noCheck struct{}

func (noCheck) Write(p []byte) (int, error) { return len(p), nil }
func (noCheck) Sum(b []byte) []byte         { return b }
func (noCheck) Reset()                      {}
func (noCheck) Size() int                   { return 0 }
func (noCheck) BlockSize() int              { return 1 }

// readStreamHeader returns the stream's flags.
func readStreamHeader(r io.Reader) (check xzCheck, err error) {
	var b [12]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, cutShort(err)
	}
	if string(b[:6]) != xzHeaderMagic {
		return 0, errors.New("it does not begin as an xz stream")
	}
	if crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) || b[6] != 0 || b[7] > 15 {
		return 0, errors.New("xz stream header is damaged")
	}
	return xzCheck(b[7]), nil
}

// readBlockHeader returns ok == false at the index, whose first byte it has consumed.
func readBlockHeader(r *bufio.Reader) (b xzBlock, ok bool, err error) {
	size, err := r.ReadByte()
	if err != nil || size == 0 {
		return xzBlock{}, false, cutShort(err)
	}
	raw := make([]byte, (int(size)+1)*4)
	raw[0] = size
	if _, err := io.ReadFull(r, raw[1:]); err != nil {
		return xzBlock{}, false, cutShort(err)
	}
	body, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return xzBlock{}, false, errors.New("xz block header is damaged")
	}
	b, err = parseBlockHeader(body[1:])
	b.header = int64(len(raw))
	return b, err == nil, err
}

func parseBlockHeader(body []byte) (xzBlock, error) {
	r := bytes.NewReader(body)
	flags, err := r.ReadByte()
	if err != nil || flags&0x3c != 0 {
		return xzBlock{}, errors.New("xz block header has unknown flags")
	}
	b := xzBlock{compressed: -1, uncompressed: -1}
	if flags&0x40 != 0 {
		if b.compressed, err = readSize(r); err != nil {
			return xzBlock{}, err
		}
	}
	if flags&0x80 != 0 {
		if b.uncompressed, err = readSize(r); err != nil {
			return xzBlock{}, err
		}
	}
	var filter [3]byte // number, length of properties, properties
	if _, err := io.ReadFull(r, filter[:]); err != nil {
		return xzBlock{}, errors.New("xz block header is too short")
	}
	if flags&3 != 0 || filter[0] != xzLZMA2 || filter[1] != 1 {
		return xzBlock{}, errors.New("xz filters other than LZMA2 are not supported")
	}
	if b.dictionary, err = dictionarySize(filter[2]); err != nil {
		return xzBlock{}, err
	}
	if rest := body[len(body)-r.Len():]; len(bytes.Trim(rest, "\x00")) > 0 {
		return xzBlock{}, errors.New("xz block header has options that are not supported")
	}
	return b, nil
}

func dictionarySize(bits byte) (int, error) {
	if bits > 40 {
		return 0, errors.New("xz block header has a dictionary size that cannot be")
	}
	size := int64(2|bits&1) << (bits/2 + 11)
	if size > maxWindow {
		return 0, fmt.Errorf("xz block needs a dictionary of %d bytes, more than %d", size, maxWindow)
	}
	return int(size), nil
}

// readSize reads a variable-length integer as xz writes it: at most nine bytes, shortest form.
func readSize(r io.ByteReader) (int64, error) {
	var n uint64
	for shift := 0; shift < 63; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, cutShort(err)
		}
		n |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			if b == 0 && shift > 0 {
				break
			}
			return int64(n), nil //nolint:gosec // 63 bits
		}
	}
	return 0, errors.New("xz has a number that is not well formed")
}

// skipPadding reads the null bytes that fill n bytes up to a multiple of four.
func skipPadding(r io.ByteReader, n int64) error {
	for ; n%4 != 0; n++ {
		b, err := r.ReadByte()
		if err != nil {
			return cutShort(err)
		}
		if b != 0 {
			return errors.New("xz padding is damaged")
		}
	}
	return nil
}

// xzRecords is a digest of the blocks' sizes, by which the index is compared with what was read.
type xzRecords struct {
	count int64
	sizes hash.Hash
}

func newRecords() xzRecords { return xzRecords{sizes: sha256.New()} }

func (x *xzRecords) add(unpadded, uncompressed int64) {
	x.count++
	x.sizes.Write(binary.AppendVarint(binary.AppendVarint(nil, unpadded), uncompressed))
}

// readIndex reads index and footer, behind the index's first byte, and compares both with the blocks read.
func readIndex(r *bufio.Reader, check xzCheck, read xzRecords) error {
	sum := &summing{r: r, crc: crc32.NewIEEE()}
	sum.add(0)
	count, err := readSize(sum)
	if err != nil {
		return err
	}
	if count != read.count {
		return errors.New("xz index does not match the blocks")
	}
	listed := newRecords()
	for range count {
		unpadded, err := readSize(sum)
		if err != nil {
			return err
		}
		uncompressed, err := readSize(sum)
		if err != nil {
			return err
		}
		listed.add(unpadded, uncompressed)
	}
	if !bytes.Equal(listed.sizes.Sum(nil), read.sizes.Sum(nil)) {
		return errors.New("xz index does not match the blocks")
	}
	if err := skipPadding(sum, sum.n); err != nil {
		return err
	}
	return readFooter(r, check, sum.crc.Sum32(), sum.n+4)
}

// readFooter reads the index's checksum and the stream footer.
func readFooter(r io.Reader, check xzCheck, indexSum uint32, indexSize int64) error {
	var b [16]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return cutShort(err)
	}
	le := binary.LittleEndian
	backward := (int64(le.Uint32(b[8:])) + 1) * 4
	if le.Uint32(b[:]) != indexSum || crc32.ChecksumIEEE(b[8:14]) != le.Uint32(b[4:]) || backward != indexSize ||
		b[12] != 0 || b[13] != byte(check) || string(b[14:]) != xzFooterMagic {
		return errors.New("xz index or footer is damaged")
	}
	return nil
}

// summing counts and sums the bytes read.
type summing struct {
	r   io.ByteReader
	crc hash.Hash32
	n   int64
}

func (s *summing) add(b byte) {
	s.n++
	s.crc.Write([]byte{b})
}

func (s *summing) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.add(b)
	}
	return b, err //nolint:wrapcheck // a reader passes errors on
}
