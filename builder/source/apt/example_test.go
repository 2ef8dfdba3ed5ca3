package apt_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder/source/apt"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
	"github.com/pitcrew-dev/pitcrew/internal/fetch"
)

// The game's data without what it depends on, from the machine's own mirrors: the same tree for every platform.
func ExampleNew() {
	cache, err := os.UserCacheDir()
	if err != nil {
		panic(err)
	}
	store, err := pack.Open(filepath.Join(cache, "packs"))
	if err != nil {
		panic(err)
	}
	data := apt.New(apt.Options{
		Packages:     []string{"supertuxkart-data"},
		Dependencies: apt.None,
		CacheDir:     cache,
		Store:        store,
		Fetch:        &fetch.Client{},
	})
	resolved, err := data.Resolve(context.Background(), v1.Platform{OS: "linux", Architecture: "arm64"})
	if err != nil {
		panic(err)
	}
	fmt.Println(resolved.Pending(), "bytes to download")
}
