package generic

import (
	"slices"
	"strconv"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// roster is who is there, by the log: at most [MaxPlayers].
type roster struct {
	byID   bool // players are called by their id, which only one has at a time; else by their name
	joined int
	there  []entry
}

type entry struct {
	sidecar.Player
	key string
}

// join says false if there is no room. A player whose id is there already has come back under it, and is the same.
func (r *roster) join(l Line) bool {
	key := l.Player
	if r.byID {
		key = l.ID
		if i := r.find(key); i >= 0 {
			r.there[i].Name = l.Player
			return true
		}
	}
	if len(r.there) >= MaxPlayers {
		return false
	}
	r.joined++
	r.there = append(r.there, entry{sidecar.Player{ID: sidecar.IDPrefix + strconv.Itoa(r.joined), Name: l.Player}, key})
	return true
}

// leave takes one player out: of several with one name the first that came. Who is not there cannot leave.
func (r *roster) leave(l Line) {
	key := l.Player
	if r.byID {
		key = l.ID
	}
	if i := r.find(key); i >= 0 {
		r.there = slices.Delete(r.there, i, i+1)
	}
}

func (r *roster) find(key string) int {
	return slices.IndexFunc(r.there, func(e entry) bool { return e.key == key })
}

func (r *roster) players() []sidecar.Player {
	var all []sidecar.Player
	for _, e := range r.there {
		all = append(all, e.Player)
	}
	return all
}
