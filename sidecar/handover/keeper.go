package handover

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// Keeper keeps a file of variables up to date.
type Keeper struct {
	path string
	log  *slog.Logger
	last []byte
	// retry is when a file that could not be written is tried again: a GameServer is seen often.
	retry time.Time
}

// NewKeeper makes one for the file at path, whose folder has to be there.
func NewKeeper(path string, log *slog.Logger) *Keeper { return &Keeper{path: path, log: log} }

// Seen writes the file if what it should say has changed. A reader finds the old file or the new one, never a part; a file that
// cannot be written is logged and tried again with what is seen later, at most once in ten seconds.
func (k *Keeper) Seen(g sidecar.GameServer) {
	now := File(Variables(g))
	if bytes.Equal(now, k.last) || time.Now().Before(k.retry) {
		return
	}
	if err := Write(k.path, now); err != nil {
		k.retry = time.Now().Add(10 * time.Second)
		k.log.Error("cannot hand the GameServer over to the game", "error", err)
		return
	}
	k.last = now
}

// Write puts a file in place at once, readable by everybody: the game is another user's.
func Write(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
