package generic

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strconv"

	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

// query is a question of one datagram, and what its answer looks like.
type query struct {
	port   uint16 // 0: the game's
	send   []byte
	answer *regexp.Regexp
}

// ErrAnswer is matched by the error about an answer that the pattern does not match.
var ErrAnswer = errors.New("the answer is not the expected one")

func (q *query) ask(ctx context.Context, port uint16) (Line, error) {
	if q.port != 0 {
		port = q.port
	}
	answer, err := socket.Ask(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), q.send)
	if err != nil {
		return Line{}, err
	}
	l, ok := extract(q.answer, answer)
	if !ok {
		return Line{}, ErrAnswer
	}
	return l, nil
}
