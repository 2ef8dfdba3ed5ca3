package layer

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// compressVersion is the version of klauspost/compress in go.mod: another version may give other bytes, so it is
// part of every compressed layer's key. A test holds the two together.
const compressVersion = "v1.20.3"

// zstdWindow bounds the memory of an encoder here and of a decoder on the node.
const zstdWindow = 4 << 20

// Codec is how a layer's tar stream is stored. The zero Codec stores it as it is.
type Codec struct {
	name  string
	level int
}

// The codecs with their usual levels.
var (
	None = Codec{name: "none"}
	Gzip = Codec{name: "gzip", level: 6}
	Zstd = Codec{name: "zstd", level: 3}
)

// ParseCodec understands "none", "gzip", "zstd", and a level after a colon ("zstd:6"; gzip 1 to 9, zstd 1 to 11).
func ParseCodec(s string) (Codec, error) {
	name, level, hasLevel := strings.Cut(s, ":")
	c, most := Codec{}, 0
	switch name {
	case "none":
		c = None
	case "gzip":
		c, most = Gzip, 9
	case "zstd":
		c, most = Zstd, 11
	}
	if hasLevel {
		n, err := strconv.Atoi(level)
		if err != nil || n < 1 || n > most {
			c.name = ""
		}
		c.level = n
	}
	if c.name == "" {
		return Codec{}, builder.Errorf(builder.Config, "use none, gzip[:1-9], zstd[:1-11] or auto", "compression %q is not known", s)
	}
	return c, nil
}

// String is the form that [ParseCodec] takes.
func (c Codec) String() string {
	if c.stored() {
		return "none"
	}
	return c.name + ":" + strconv.Itoa(c.level)
}

// ID pins all that decides the bytes: library, version, level and window.
func (c Codec) ID() string {
	switch c.name {
	case "gzip":
		return fmt.Sprintf("gzip;klauspost/compress@%s;level=%d", compressVersion, c.level)
	case "zstd":
		return fmt.Sprintf("zstd;klauspost/compress@%s;level=%d;window=%d;stored=%g", compressVersion, c.level, zstdWindow, compressible)
	default:
		return "none"
	}
}

// MediaType is the OCI layer media type.
func (c Codec) MediaType() types.MediaType {
	switch c.name {
	case "gzip":
		return types.OCILayer
	case "zstd":
		return types.OCILayerZStd
	default:
		return types.OCIUncompressedLayer
	}
}

func (c Codec) stored() bool { return c.name == "" || c.name == "none" }

// encoder is a compressor that can be used again for the next layer.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// encoders keeps one pool for each codec: a zstd encoder's window is worth keeping.
var encoders sync.Map // Codec -> *sync.Pool

func (c Codec) encoder(w io.Writer) (e encoder, release func(), err error) {
	p, _ := encoders.LoadOrStore(c, &sync.Pool{})
	pool := p.(*sync.Pool)
	if have, ok := pool.Get().(encoder); ok {
		have.Reset(w)
		return have, func() { pool.Put(have) }, nil
	}
	if c.name == "gzip" {
		e, err = gzip.NewWriterLevel(w, c.level)
	} else {
		var z *zstd.Encoder
		z, err = zstd.NewWriter(w,
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(c.level)),
			zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(true))
		e = newStorer(w, z)
	}
	return e, func() { pool.Put(e) }, err
}

// maxWindow is the largest zstd window that Decode accepts from an image.
const maxWindow = 128 << 20

// Decode undoes the compression that mediaType names. Memory is bounded whatever the stream says.
func Decode(mediaType types.MediaType, r io.Reader) (io.ReadCloser, error) {
	switch mediaType {
	case types.OCILayer, types.DockerLayer, types.DockerForeignLayer, types.OCIRestrictedLayer:
		return gzip.NewReader(r)
	case types.OCILayerZStd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case types.OCIUncompressedLayer, types.DockerUncompressedLayer:
		return io.NopCloser(r), nil
	default:
		return nil, builder.Errorf(builder.Input, "", "layers of media type %q are not supported", mediaType)
	}
}
