package memo

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A file of this package is: magic, kind, version, payload, SHA-256 of all that.
const (
	magic        = "pitcrew memo\n"
	kindFiles    = 'F'
	kindLayers   = 'L'
	version      = 1
	headerSize   = len(magic) + 2
	maxFrameSize = 128 << 20
)

var (
	errForeign = errors.New("not a memo file")
	errVersion = errors.New("written by another version")
	errDamaged = errors.New("damaged")
)

// newFrame starts a frame whose payload the caller appends.
func newFrame(kind byte, sizeHint int) []byte {
	frame := make([]byte, 0, headerSize+sizeHint+sha256.Size)
	return append(append(frame, magic...), kind, version)
}

// writeFrame closes the frame and puts it at path, whole or not at all. It does not wait for the disk: what a power
// cut leaves is found out by the checksum.
func writeFrame(path string, frame []byte) error {
	sum := sha256.Sum256(frame)
	if err := replaceFile(path, append(frame, sum[:]...)); err != nil {
		return fmt.Errorf("save memo: %w", err)
	}
	return nil
}

func replaceFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".memo-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// readFrame returns the payload of the frame at path, or nothing if there is no file.
func readFrame(path string, kind byte) ([]byte, error) {
	raw, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		raw, err = openFrame(raw, kind)
	}
	if err != nil {
		return nil, fmt.Errorf("ignore memo %s: %w", path, err)
	}
	return raw, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFrameSize {
		return nil, errForeign
	}
	raw := make([]byte, info.Size())
	_, err = io.ReadFull(f, raw)
	return raw, err
}

// openFrame checks a frame and returns its payload.
func openFrame(raw []byte, kind byte) ([]byte, error) {
	if len(raw) < headerSize || !bytes.HasPrefix(raw, []byte(magic)) || raw[len(magic)] != kind {
		return nil, errForeign
	}
	if raw[len(magic)+1] != version {
		return nil, errVersion
	}
	end := len(raw) - sha256.Size
	if end < headerSize || sha256.Sum256(raw[:end]) != [sha256.Size]byte(raw[end:]) {
		return nil, errDamaged
	}
	return raw[headerSize:end], nil
}
