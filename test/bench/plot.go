package main

import (
	"bytes"
	"fmt"
	"math"
)

// line is one series of a plot.
type line struct {
	label, colour string
	values        []float64
}

// plot draws lines over the number of the commit.
func plot(title string, lines []line, logarithmic bool) []byte {
	const left, top, width, height = 60, 40, 520, 260
	most, least := 0.0, math.MaxFloat64
	for _, l := range lines {
		for _, v := range l.values {
			most = max(most, v)
			if v > 0 {
				least = min(least, v)
			}
		}
	}
	scale := func(v float64) float64 {
		if !logarithmic {
			return v / most
		}
		return math.Log(max(v, least)/least) / math.Log(most/least)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", left+width+240, top+height+40)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="8" y="20" font-weight="bold" font-size="13">%s</text>`+"\n", title)
	for i := range 5 {
		share := float64(i) / 4
		v := most * share
		if logarithmic {
			v = least * math.Pow(most/least, share)
		}
		y := top + height*(1-share)
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.3g</text>`+"\n", left, left+width, y, y, left-6, y+4, v)
	}
	for i, l := range lines {
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, l.colour)
		for x, v := range l.values {
			fmt.Fprintf(&b, "%.1f,%.1f ", left+float64(x)*width/float64(max(1, len(l.values)-1)), top+height*(1-scale(v)))
		}
		fmt.Fprintf(&b, `"/><rect x="%d" y="%d" width="14" height="4" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			left+width+16, top+8+i*20, l.colour, left+width+36, top+14+i*20, l.label)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">commit</text></svg>`+"\n", left+width/2, top+height+28)
	return b.Bytes()
}
