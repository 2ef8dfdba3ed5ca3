package agones

import (
	"context"
	"time"

	"google.golang.org/grpc/status"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
)

// ping sends pings over one stream, and opens another when it broke.
func (c *Client) ping(ctx context.Context) {
	var s *healthStream
	defer func() { s.close() }()
	for {
		select {
		case at := <-c.pings:
			s = c.sendPing(ctx, s, at)
		case <-ctx.Done():
			return
		}
	}
}

// sendPing sends it until it is sent or stale. It returns the stream to go on with.
func (c *Client) sendPing(ctx context.Context, s *healthStream, at time.Time) *healthStream {
	var p pauses
	for time.Since(at) < stalePing {
		start := time.Now()
		var err error
		if s == nil {
			s, err = c.openHealth(ctx)
		}
		if err == nil {
			err = s.send()
		}
		c.o.Called("Health", status.Code(err).String(), time.Since(start))
		if err == nil {
			return s
		}
		s.close()
		s = nil
		c.o.Reopened("health")
		if !p.wait(ctx) {
			break
		}
	}
	return s
}

// healthStream is a stream that a send gives up in time.
type healthStream struct {
	stream sdk.SDK_HealthClient
	cancel context.CancelFunc
}

func (c *Client) openHealth(ctx context.Context) (*healthStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	stuck := time.AfterFunc(callDeadline, cancel)
	defer stuck.Stop()
	stream, err := c.sdk.Health(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	return &healthStream{stream, cancel}, nil
}

// send reports the stream's own error: a broken stream accepts a message with io.EOF and keeps the reason.
func (s *healthStream) send() error {
	stuck := time.AfterFunc(callDeadline, s.cancel)
	defer stuck.Stop()
	if err := s.stream.Send(&sdk.Empty{}); err != nil {
		return s.stream.RecvMsg(&sdk.Empty{})
	}
	return nil
}

func (s *healthStream) close() {
	if s != nil {
		s.cancel()
	}
}
