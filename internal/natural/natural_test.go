package natural_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/internal/natural"
)

func TestNumbersCountAsNumbers(t *testing.T) {
	want := []string{"", "1.2", "1.9", "1.10", "1.10-rc", "a", "part-01", "part-1", "part-2", "part-10", "part-99999999999999999999", "part-a", "z"}
	for range 50 {
		got := slices.Clone(want)
		rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, natural.Compare)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("order (-want +got):\n%s", diff)
		}
	}
}
