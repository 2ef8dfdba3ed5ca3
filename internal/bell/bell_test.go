package bell_test

import (
	"testing"

	"github.com/pitcrew-dev/pitcrew/internal/bell"
)

func rung(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestRingWakesThoseWhoWait(t *testing.T) {
	var b bell.Bell
	b.Ring() // nobody waits
	first, second := b.Wait(), b.Wait()
	if rung(first) {
		t.Error("it rang before somebody waited, and is heard")
	}
	b.Ring()
	if !rung(first) || !rung(second) {
		t.Error("not everybody heard it")
	}
	third := b.Wait()
	if rung(third) {
		t.Error("the next ring is heard before it came")
	}
	b.Ring()
	if !rung(third) {
		t.Error("the next ring is not heard")
	}
}
