// Package generic watches a game server that nobody wrote an adapter for: by its socket, by its log with a file of patterns
// ([Parse]), and by a question of one datagram. Whatever of these is left out is not known, and nothing is made up for it.
//
// A game serves while its port is bound, after a line that matches the pattern serving, if there is one, and after an answer
// to the question, if there is one. It lives when it answers, writes a line, or takes what waits in the receive queue of its
// socket, and also while nothing waits there: a game that nobody speaks to must not lose its health. The price is that a game
// which hangs or was stopped looks well until the first packet waits for it in vain. A question to the game's own UDP port
// is such a packet, every second; so with a question a stopped game is found out without players. Where the question goes to
// another port an empty queue proves nothing, and does not count.
//
// For TCP the queue is that of connections that wait to be accepted. What happens on those that were is not looked at, and
// that the kernel lets one connect says nothing about the game.
//
// What it cannot know: whether the game took another port than it was told to (it never serves then, and is not ready), and
// whether it is the game that has the port. How many players there are it says only with patterns or an answer that tell; else
// [sidecar.Here] never comes, and nothing is done that needs to know that nobody is there.
//
// A player's name is data chosen by a stranger. Patterns have to begin with ^, or else text in a chat could be taken for a
// line; they should end with $, too, and a name should be allowed only what the game allows. Where a game lets a name hold a
// line's end no pattern helps: a count in the answer decides there.
package generic
