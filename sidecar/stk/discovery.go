package stk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

// QueryPort is the UDP port on which every STK server that is no WAN server answers.
const QueryPort = 2757

// Info is a server's answer to the LAN query.
type Info struct {
	Version    uint32
	Name       string
	MaxPlayers int
	// Players counts those who are validated, bots and late ones included.
	Players    int
	Port       uint16
	Difficulty uint8
	Mode       uint8
	Password   bool
	// Started says that the lobby was left; Track is empty until the race is on.
	Started bool
	Track   string
}

var query = append([]byte{10}, "stk-server"...)

// ErrAnswer is matched by errors about an answer that is none.
var ErrAnswer = errors.New("not an answer to the LAN query")

// Decode takes an answer apart, as stk_host.cpp of STK 1.4 puts it together.
func Decode(b []byte) (Info, error) {
	var i Info
	d := decoder{b: b}
	i.Version = d.u32()
	i.Name = d.text()
	i.MaxPlayers, i.Players = int(d.u8()), int(d.u8())
	i.Port = d.u16()
	i.Difficulty, i.Mode = d.u8(), d.u8()
	i.Password, i.Started = d.u8() != 0, d.u8() != 0
	i.Track = d.text()
	if d.short || len(d.b) > 0 {
		return Info{}, fmt.Errorf("%w: %d bytes", ErrAnswer, len(b))
	}
	return i, nil
}

// ModeName is the mode as a word.
func (i Info) ModeName() string {
	names := map[uint8]string{0: "gp-race", 1: "gp-time-trial", 3: "race", 4: "time-trial", 6: "soccer", 7: "free-for-all", 8: "capture-the-flag"}
	if n, ok := names[i.Mode]; ok {
		return n
	}
	return fmt.Sprintf("mode-%d", i.Mode)
}

type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.short, d.b = true, nil
		return make([]byte, n)
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) u8() uint8    { return d.take(1)[0] }
func (d *decoder) u16() uint16  { return binary.BigEndian.Uint16(d.take(2)) }
func (d *decoder) u32() uint32  { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) text() string { return string(d.take(int(d.u8()))) }

// Ask sends the query to addr and waits for its answer until ctx ends, at most a second. The kernel drops what comes from elsewhere.
func Ask(ctx context.Context, addr string) (Info, error) {
	answer, err := socket.Ask(ctx, addr, query)
	if err != nil {
		return Info{}, err
	}
	return Decode(answer)
}
