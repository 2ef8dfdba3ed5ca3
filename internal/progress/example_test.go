package progress_test

import (
	"os"

	"github.com/pitcrew-dev/pitcrew/internal/progress"
)

func Example() {
	r := progress.New(os.Stderr, false)
	defer r.Close()

	layer := r.Start("assets, layer 3", 52_428_800)
	defer layer.Done()
	layer.Add(1 << 20) // as bytes move
	// Output:
}
