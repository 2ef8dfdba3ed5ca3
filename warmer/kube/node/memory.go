package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// told is what an agent was told last. It is kept in a file, so that an agent which starts while the API server is away goes
// on with it. It holds no secrets.
type told struct {
	Node  string        `json:"node"`
	Wants []warmer.Want `json:"wants"`
	// Bandwidth is in bytes per second.
	Bandwidth int64 `json:"bandwidth"`
}

// recall reads the file. What cannot be used counts as nothing.
func (n *Node) recall() *told {
	if n.o.State == "" {
		return nil
	}
	var t told
	raw, err := os.ReadFile(n.o.State)
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		n.o.Log.Warn("what was wanted last is not known", "error", err)
		return nil
	case t.Node != n.o.Name:
		n.o.Log.Warn("what was wanted last is another node's", "file", n.o.State, "node", t.Node)
		return nil
	}
	return &t
}

// remember changes the file.
func (n *Node) remember(change func(*told)) {
	if n.o.State == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.now)
	if err := write(n.o.State, n.now); err != nil {
		n.o.Log.Warn("what is wanted could not be written down", "error", err)
	}
}

// write replaces the file as a whole: an agent may be killed at any moment.
func write(name string, t told) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", raw, 0o600); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// early calls f with what was told in an earlier life, if the API server is not heard of for a while.
func (n *Node) early(ctx context.Context, f func(told)) {
	if n.before == nil {
		return
	}
	timer := time.NewTimer(n.o.Patience)
	defer timer.Stop()
	select {
	case <-timer.C:
		f(*n.before)
	case <-n.synced:
	case <-ctx.Done():
	}
}
