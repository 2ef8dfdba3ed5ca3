package agones

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/beta"
	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
)

type setter func(context.Context, *sdk.KeyValue, ...grpc.CallOption) (*sdk.Empty, error)

func (p *patcher) keyValues(k kind, rpc string, is, should map[string]string, set setter) []change {
	var out []change
	for _, key := range slices.Sorted(maps.Keys(should)) {
		value := should[key]
		if got, ok := is[sidecar.SDKPrefix+key]; ok && got == value {
			continue
		}
		out = append(out, change{item{k, key, ""}, value, func(ctx context.Context) error {
			_, err := set(ctx, &sdk.KeyValue{Key: key, Value: value})
			return err
		}, rpc})
	}
	return out
}

func (p *patcher) counts(g sidecar.GameServer, m sidecar.Metadata) []change {
	var out []change
	for _, name := range slices.Sorted(maps.Keys(m.Counters)) {
		count := m.Counters[name]
		is, ok := g.Counters[name]
		if !ok {
			p.undeclared("counter", name)
			continue
		}
		if is.Capacity > 0 {
			count = min(count, is.Capacity)
		}
		if is.Count == count {
			continue
		}
		out = append(out, change{item{counters, name, ""}, strconv.FormatInt(count, 10), func(ctx context.Context) error {
			_, err := p.c.beta.UpdateCounter(ctx, &beta.UpdateCounterRequest{
				CounterUpdateRequest: &beta.CounterUpdateRequest{Name: name, Count: wrapperspb.Int64(count)},
			})
			return err
		}, "UpdateCounter"})
	}
	return out
}

// listValues removes before it adds, so that what is added finds room.
func (p *patcher) listValues(g sidecar.GameServer, m sidecar.Metadata) []change {
	var remove, add []change
	for _, name := range slices.Sorted(maps.Keys(m.Lists)) {
		is, ok := g.Lists[name]
		if !ok {
			p.undeclared("list", name)
			continue
		}
		for _, value := range m.Lists[name].Absent {
			if slices.Contains(is.Values, value) {
				remove = append(remove, p.remove(name, value))
			}
		}
		room := is.Capacity - int64(len(is.Values)) + int64(len(remove))
		for _, value := range m.Lists[name].Present {
			if !slices.Contains(is.Values, value) && room > 0 {
				add = append(add, p.add(name, value))
				room--
			}
		}
	}
	return append(remove, add...)
}

func (p *patcher) add(name, value string) change {
	return change{item{lists, value, name}, "present", func(ctx context.Context) error {
		_, err := p.c.beta.AddListValue(ctx, &beta.AddListValueRequest{Name: name, Value: value})
		return err
	}, "AddListValue"}
}

func (p *patcher) remove(name, value string) change {
	return change{item{lists, value, name}, "absent", func(ctx context.Context) error {
		_, err := p.c.beta.RemoveListValue(ctx, &beta.RemoveListValueRequest{Name: name, Value: value})
		return err
	}, "RemoveListValue"}
}

// undeclared says once that the Fleet does not declare what we would fill.
func (p *patcher) undeclared(what, name string) {
	if key := what + " " + name; !p.warned[key] {
		p.warned[key] = true
		p.c.o.Log.Warn("the Fleet does not declare it: it is not kept", "what", what, "name", name)
	}
}
