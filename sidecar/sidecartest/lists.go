package sidecartest

import (
	"context"
	"fmt"
	"slices"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/beta"
	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
)

// lists is the beta half of the SDK.
type lists struct {
	beta.UnimplementedSDKServer
	s *Server
	p *pod
}

// latest is the GameServer with what is still queued: what the SDK's reads answer.
func (x lists) latest() *sdk.GameServer {
	g := thaw(x.s.object)
	for _, kind := range []string{kindCounter, kindList} {
		for _, change := range x.p.pending[kind] {
			change(g)
		}
	}
	return g
}

func (x lists) GetCounter(ctx context.Context, r *beta.GetCounterRequest) (*beta.Counter, error) {
	if err := x.s.enter(ctx, x.p, "GetCounter "+r.GetName()); err != nil {
		return nil, err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.counter(r.GetName())
}

func (x lists) counter(name string) (*beta.Counter, error) {
	c, ok := x.latest().Status.Counters[name]
	if !ok {
		return nil, unknown("counter not found: %s", name)
	}
	return &beta.Counter{Name: name, Count: c.GetCount(), Capacity: c.GetCapacity()}, nil
}

func (x lists) UpdateCounter(ctx context.Context, r *beta.UpdateCounterRequest) (*beta.Counter, error) {
	u := r.GetCounterUpdateRequest()
	if err := x.s.enter(ctx, x.p, "UpdateCounter "+u.GetName()); err != nil {
		return nil, err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	c, err := x.counter(u.GetName())
	if err != nil {
		return nil, err
	}
	if u.GetCapacity() != nil {
		c.Capacity = u.GetCapacity().GetValue()
	}
	if u.GetCount() != nil {
		c.Count = u.GetCount().GetValue()
	}
	c.Count += u.GetCountDiff()
	if c.Count < 0 || c.Count > c.Capacity || c.Capacity < 0 {
		return nil, unknown("out of range. Count must be within range [0,Capacity]. Found Count: %d, Capacity: %d", c.Count, c.Capacity)
	}
	x.p.enqueue(kindCounter, func(g *sdk.GameServer) {
		g.Status.Counters[u.GetName()] = &sdk.GameServer_Status_CounterStatus{Count: c.Count, Capacity: c.Capacity}
	})
	return c, nil
}

func (x lists) GetList(ctx context.Context, r *beta.GetListRequest) (*beta.List, error) {
	if err := x.s.enter(ctx, x.p, "GetList "+r.GetName()); err != nil {
		return nil, err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.list(r.GetName())
}

func (x lists) list(name string) (*beta.List, error) {
	l, ok := x.latest().Status.Lists[name]
	if !ok {
		return nil, unknown("list not found: %s", name)
	}
	return &beta.List{Name: name, Capacity: l.GetCapacity(), Values: l.GetValues()}, nil
}

// UpdateList does what Agones 1.57 does: it fails in every fleet but one, and an unknown list ends the SDK server.
func (x lists) UpdateList(ctx context.Context, r *beta.UpdateListRequest) (*beta.List, error) {
	name := r.GetList().GetName()
	if err := x.s.enter(ctx, x.p, "UpdateList "+name); err != nil {
		return nil, err
	}
	x.s.mu.Lock()
	_, err := x.list(name)
	x.s.mu.Unlock()
	if err != nil {
		go x.s.Stop() // it ends this very call
		<-x.p.ctx.Done()
		return nil, unknown("nil dereference")
	}
	return nil, unknown("no gameservers for fleet")
}

func (x lists) AddListValue(ctx context.Context, r *beta.AddListValueRequest) (*beta.List, error) {
	name, value := r.GetName(), r.GetValue()
	return x.update(ctx, fmt.Sprintf("AddListValue %s %s", name, value), name, func(l *beta.List) error {
		switch {
		case slices.Contains(l.GetValues(), value):
			return unknown("already exists: value %s already in list %s", value, name)
		case int64(len(l.GetValues())) >= l.GetCapacity():
			return unknown("out of range: no available capacity, list %s is at %d", name, l.GetCapacity())
		}
		l.Values = append(slices.Clone(l.Values), value)
		return nil
	}, func(values []string) []string {
		if slices.Contains(values, value) {
			return values
		}
		return append(values, value)
	})
}

func (x lists) RemoveListValue(ctx context.Context, r *beta.RemoveListValueRequest) (*beta.List, error) {
	name, value := r.GetName(), r.GetValue()
	without := func(values []string) []string {
		return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == value })
	}
	return x.update(ctx, fmt.Sprintf("RemoveListValue %s %s", name, value), name, func(l *beta.List) error {
		if !slices.Contains(l.GetValues(), value) {
			return unknown("not found: value %s not in list %s", value, name)
		}
		l.Values = without(l.Values)
		return nil
	}, without)
}

func (x lists) update(ctx context.Context, what, name string, check func(*beta.List) error, change func([]string) []string) (*beta.List, error) {
	if err := x.s.enter(ctx, x.p, what); err != nil {
		return nil, err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	l, err := x.list(name)
	if err != nil {
		return nil, err
	}
	if err := check(l); err != nil {
		return nil, err
	}
	x.p.enqueue(kindList, func(g *sdk.GameServer) {
		is := g.Status.Lists[name]
		is.Values = change(is.Values)
		if int64(len(is.Values)) > is.Capacity { // the SDK and an allocation together: the rest is left out without a word
			is.Values = is.Values[:is.Capacity]
		}
	})
	return l, nil
}
