// Package progress shows how far many concurrent transfers are: on a terminal one bar for the total and a line for each
// active item, elsewhere (a CI log) a plain line every few seconds.
//
// A [Reporter] draws, an [Item] counts. Both may be nil: everything is then a no-op, so that code which moves bytes
// need not ask whether somebody watches. Counting never waits for the terminal. A Reporter is also an [io.Writer] for
// lines that share its terminal, such as a log.
package progress
