package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// check compares the whole file with what it must be.
func check(f *os.File, want Sum) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return &localError{err}
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return &localError{err}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); want.Size > 0 && n != want.Size || got != want.SHA256 {
		return fmt.Errorf("%w: got %d bytes with sha256 %s, want %s with sha256 %s", ErrWrongSum, n, got, sizeText(want.Size), want.SHA256)
	}
	return nil
}

func sizeText(n int64) string {
	if n > 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return "bytes"
}
