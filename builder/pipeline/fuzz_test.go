package pipeline_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
)

// Parse never panics, answers with a pipeline or a Config error, and reads what is written from a pipeline as the same
// pipeline.
func FuzzParse(f *testing.F) {
	f.Add(reference(f))
	f.Add([]byte(small))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := pipeline.Parse("p", bytes.NewReader(in), beside())
		if (p == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", p, err)
		}
		if err != nil {
			if builder.KindOf(err) != builder.Config {
				t.Errorf("Parse: kind %v, want Config", builder.KindOf(err))
			}
			if faults, ok := errors.AsType[pipeline.Faults](err); ok && len(faults) == 0 {
				t.Error("Parse: an error without faults")
			}
			return
		}
		out := flow(reflect.ValueOf(p))
		again, err := pipeline.Parse("p", strings.NewReader(out), beside())
		if err != nil {
			t.Fatalf("Parse of what was written: %v\n%s", err, out)
		}
		if diff := cmp.Diff(p, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("read again (-first +second):\n%s", diff)
		}
	})
}

// flow is a value in YAML's flow style, with every text quoted and escaped. The library's own writer makes block
// scalars that its reader refuses.
func flow(v reflect.Value) string {
	var parts []string
	switch v.Kind() {
	case reflect.Pointer:
		return flow(v.Elem())
	case reflect.String:
		return strconv.QuoteToASCII(v.String())
	case reflect.Slice:
		for i := range v.Len() {
			parts = append(parts, flow(v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map:
		for key, value := range v.Seq2() {
			parts = append(parts, flow(key)+": "+flow(value))
		}
	case reflect.Struct:
		for field, value := range v.Fields() {
			if !value.IsZero() {
				name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
				parts = append(parts, name+": "+flow(value))
			}
		}
	default:
		return fmt.Sprint(v)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
