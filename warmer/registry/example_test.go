package registry_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

// Reads an image's layer with at most 50 MiB a second.
func ExampleClient() {
	ref, stop := pushRandomImage()
	defer stop()
	ctx := context.Background()

	client, err := registry.New(registry.Options{HostsDir: "/etc/containerd/certs.d"})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	client.SetBandwidth(50 << 20)

	tag, err := client.Resolve(ctx, ref)
	if err != nil {
		panic(err)
	}
	raw, _, err := client.Manifest(ctx, ref, tag)
	if err != nil {
		panic(err)
	}
	var manifest struct {
		Layers []struct {
			Digest warmer.Digest
			Size   int64
		}
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		panic(err)
	}
	layer := warmer.Descriptor{Digest: manifest.Layers[0].Digest, Size: manifest.Layers[0].Size}
	body, err := client.Blob(ctx, ref, layer, 0)
	if err != nil {
		panic(err)
	}
	defer body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		panic(err)
	}
	fmt.Println(fmt.Sprintf("sha256:%x", sum.Sum(nil)) == string(layer.Digest))
	// Output: true
}

func ExampleParseReference() {
	ref, err := registry.ParseReference("supertuxkart:1.4")
	fmt.Println(ref, err)
	// Output: docker.io/library/supertuxkart:1.4 <nil>
}

// pushRandomImage starts a registry with one image.
func pushRandomImage() (ref string, stop func()) {
	s := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	ref = strings.TrimPrefix(s.URL, "http://") + "/games/stk:1"
	image, err := random.Image(1000, 1)
	if err != nil {
		panic(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		panic(err)
	}
	if err := remote.Write(tag, image); err != nil {
		panic(err)
	}
	return ref, s.Close
}
