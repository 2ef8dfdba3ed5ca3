package profile

import (
	"io"
	"strings"
)

// nothing is a placeholder's content.
type nothing struct{}

func (nothing) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }
