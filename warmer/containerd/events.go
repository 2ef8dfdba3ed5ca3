package containerd

import (
	"context"
	"errors"
	"fmt"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// labelKind is CRI's on containers.
const labelKind = "io.cri-containerd.kind"

// Watch tells of containers that are made and of images that are removed.
func (r *Runtime) Watch(ctx context.Context, tell func(warmer.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, faults := r.client.EventService().Subscribe(ctx, `topic=="/containers/create"`, `topic=="/images/delete"`, `topic=="/images/update"`)
	for {
		select {
		case e := <-stream:
			if err := r.event(ctx, e, tell); err != nil {
				return err
			}
		case err := <-faults:
			if ctx.Err() != nil || err == nil {
				return nil
			}
			return fmt.Errorf("events: %w", problem(err))
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *Runtime) event(ctx context.Context, e *events.Envelope, tell func(warmer.Event)) error {
	if e.Namespace != r.client.DefaultNamespace() {
		return nil
	}
	value, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		return fmt.Errorf("event %s: %w", e.Topic, err)
	}
	switch x := value.(type) {
	case *apievents.ContainerCreate:
		c, err := r.client.ContainerService().Get(ctx, x.GetID())
		if err = problem(err); err != nil && !errors.Is(err, warmer.ErrNotFound) {
			return fmt.Errorf("container %s: %w", x.GetID(), err)
		}
		tell(warmer.Event{Created: x.GetID(), Image: x.GetImage(), Sandbox: c.Labels[labelKind] == "sandbox"})
	case *apievents.ImageDelete:
		tell(warmer.Event{Gone: true, Image: x.GetName()})
	case *apievents.ImageUpdate:
		tell(warmer.Event{Image: x.GetName()})
	}
	return nil
}
