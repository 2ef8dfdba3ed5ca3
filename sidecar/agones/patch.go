package agones

import (
	"context"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// kind is what the SDK server patches at once.
type kind int

const (
	annotations kind = iota
	lists
	labels
	counters
	kinds
)

// patcher remembers what it sent and the watch does not show yet.
type patcher struct {
	c        *Client
	sent     map[item]sentValue
	reopened int
	next     kind
	warned   map[string]bool
}

// item is one thing that a call changes; for a list it is one value of it.
type item struct {
	kind      kind
	key, list string
}

type sentValue struct {
	value string
	at    time.Time
}

// patch makes the GameServer say what the metadata say: one kind at a time, two a second.
func (c *Client) patch(ctx context.Context) {
	p := patcher{c: c, sent: map[item]sentValue{}, warned: map[string]bool{}}
	for ctx.Err() == nil {
		v := c.view()
		calls := p.due(v)
		if len(calls) == 0 {
			// What was sent and did not come about has to be sent again.
			sleep(ctx, confirmWithin, v.changed)
			continue
		}
		for _, call := range calls {
			p.do(ctx, call)
		}
		sleep(ctx, patchEvery, nil)
	}
}

// change is a call that is due.
type change struct {
	item  item
	value string
	do    func(context.Context) error
	rpc   string
}

// due returns the calls of the next kind that has any.
func (p *patcher) due(v view) []change {
	if v.seen == nil || !v.watching || v.seen.Over() {
		return nil
	}
	if v.reopened != p.reopened { // another SDK server, which may have lost what the last one had not yet written
		p.reopened = v.reopened
		clear(p.sent)
	}
	for range kinds {
		k := p.next
		p.next = (p.next + 1) % kinds
		var fresh []change
		for _, call := range p.changes(k, *v.seen, v.metadata) {
			if s, ok := p.sent[call.item]; !ok || s.value != call.value || time.Since(s.at) >= confirmWithin {
				fresh = append(fresh, call)
			}
		}
		if len(fresh) > 0 {
			return fresh
		}
	}
	return nil
}

func (p *patcher) do(ctx context.Context, call change) {
	if err := p.c.call(ctx, call.rpc, call.do); err != nil {
		p.c.o.Log.Warn("the SDK server refused a change, trying again", "call", call.rpc, "key", call.item.key, "error", err)
	}
	// A refusal counts as sent: it is repeated when the time for it is over, not at once.
	p.sent[call.item] = sentValue{call.value, time.Now()}
}

// changes compares what is with what should be.
func (p *patcher) changes(k kind, g sidecar.GameServer, m sidecar.Metadata) []change {
	switch k {
	case annotations:
		return p.keyValues(k, "SetAnnotation", g.Annotations, m.Annotations, p.c.sdk.SetAnnotation)
	case labels:
		return p.keyValues(k, "SetLabel", g.Labels, m.Labels, p.c.sdk.SetLabel)
	case lists:
		return p.listValues(g, m)
	case counters:
		return p.counts(g, m)
	case kinds:
	}
	return nil
}
