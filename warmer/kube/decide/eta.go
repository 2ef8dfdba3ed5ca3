package decide

import "time"

// Work is what a node has still to fetch, and how fast it was of late; 0 if it does not say.
type Work struct{ Remaining, PerSecond int64 }

// longest is what an ETA says at most.
const longest = 1000 * time.Hour

// ETA is how long the slowest node will need, rounded up, so that it stays the same for a while. A node that does not say
// how fast it is counts as the average of those that do. It is 0 if there is nothing to fetch, and if no node says so.
func ETA(nodes []Work) time.Duration {
	var sum, telling float64
	for _, n := range nodes {
		if n.Remaining > 0 && n.PerSecond > 0 {
			sum, telling = sum+float64(n.PerSecond), telling+1
		}
	}
	if telling == 0 {
		return 0
	}
	var most float64 // seconds
	for _, n := range nodes {
		pace := float64(n.PerSecond)
		if n.PerSecond <= 0 {
			pace = sum / telling
		}
		most = max(most, float64(n.Remaining)/pace)
	}
	if most >= longest.Seconds() {
		return longest
	}
	return roundUp(time.Duration(most * float64(time.Second)))
}

func roundUp(d time.Duration) time.Duration {
	step := 10 * time.Minute
	switch {
	case d <= time.Minute:
		step = 5 * time.Second
	case d <= 10*time.Minute:
		step = 30 * time.Second
	case d <= time.Hour:
		step = time.Minute
	}
	return (d + step - 1).Truncate(step)
}
