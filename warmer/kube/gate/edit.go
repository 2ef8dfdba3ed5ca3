package gate

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
)

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// edits is how often a Fleet is changed anew when somebody else was quicker.
const edits = 5

// edit changes a Fleet by operations that test what they replace: so nothing of anybody else's is lost, and the Fleet's own
// controller, which writes its status all the time, is no obstacle. No operations: nothing has to change.
func (g *Gate) edit(ctx context.Context, change func(*agones.Fleet) ([]operation, error)) error {
	var last error
	for range edits {
		f, err := g.fleet(ctx)
		if err != nil {
			return err
		}
		operations, err := change(f)
		if err != nil || len(operations) == 0 {
			return err
		}
		patch, err := json.Marshal(operations)
		if err != nil {
			return err
		}
		if last = g.Client.Patch(ctx, f, client.RawPatch(types.JSONPatchType, patch)); last == nil || !outrun(last) {
			return last
		}
	}
	return last
}

// outrun says that a test of a patch failed, or that the object was written meanwhile.
func outrun(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && (status.Status().Code == http.StatusConflict || status.Status().Code == http.StatusUnprocessableEntity)
}

// announcement has the annotation name these images.
func announcement(f *agones.Fleet, images []string) []operation {
	const annotations = "/metadata/annotations"
	path := annotations + "/" + strings.ReplaceAll(v1alpha1.NextImageAnnotation, "/", "~1")
	was, is := f.Annotations[v1alpha1.NextImageAnnotation]
	next := strings.Join(images, ",")
	switch {
	case was == next:
		return nil
	case !is: // where there is nothing to test, the object must not have been written
		add := operation{Op: "add", Path: path, Value: next}
		if f.Annotations == nil {
			add = operation{Op: "add", Path: annotations, Value: map[string]string{v1alpha1.NextImageAnnotation: next}}
		}
		return []operation{{Op: "test", Path: "/metadata/resourceVersion", Value: f.ResourceVersion}, add}
	case next == "":
		return []operation{{Op: "test", Path: path, Value: was}, {Op: "remove", Path: path}}
	}
	return []operation{{Op: "test", Path: path, Value: was}, {Op: "replace", Path: path, Value: next}}
}
