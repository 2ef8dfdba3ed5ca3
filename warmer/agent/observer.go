package agent

import (
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Observer is told what happens, from one goroutine. It must not wait.
type Observer interface {
	// Done is told of each action that ended. bytes are those that came from a registry, or that were unpacked.
	Done(a warmer.Action, phase string, bytes int64, took time.Duration, err error)
	// Warm is told when an image that was not is warm, how long that took since it was wanted, and how many bytes of each
	// phase did not have to be fetched for it.
	Warm(key string, took time.Duration, reused map[string]int64)
	// Lost is told when somebody else removed what was warm.
	Lost(key string)
	// Started is told of each container whose image is wanted: hit says that it was warm, bytes how many that saved.
	Started(key string, hit bool, bytes int64)
}

type nobody struct{}

func (nobody) Done(warmer.Action, string, int64, time.Duration, error) {}
func (nobody) Warm(string, time.Duration, map[string]int64)            {}
func (nobody) Lost(string)                                             {}
func (nobody) Started(string, bool, int64)                             {}
