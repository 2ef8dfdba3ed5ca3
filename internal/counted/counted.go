// Package counted counts what HTTP servers send and receive.
package counted

import (
	"io"
	"net/http"
	"sync/atomic"
)

// Answer adds the bytes that are written to w to n.
func Answer(w http.ResponseWriter, n *atomic.Int64) http.ResponseWriter { return &answer{w, n} }

// Body adds the bytes that are read from r to n.
func Body(r io.ReadCloser, n *atomic.Int64) io.ReadCloser { return &body{r, n} }

type answer struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (a *answer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.n.Add(int64(n))
	return n, err
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

type body struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}
