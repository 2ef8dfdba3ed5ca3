// Command races proves a profile of the SuperTuxKart example: it builds the image with only the profile's assets, and the
// whole one for the bots, and lets headless bots race on every track that the server could choose, in every mode of the
// dedicated server that has teams or laps. Each round has a network of its own, so that nothing is reached from outside.
//
// A race or a time trial counts when the server says that the game is finished; soccer and capture the flag, which bots
// alone do not end, when the server has played for a while. A server that ends before it is told to has failed. The
// result is written as a table, with what the log complains of.
package main
