package dir_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder/source/dir"
)

func Example() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(filepath.Join(folder, "tux.png"), []byte("pixels"), 0o600); err != nil {
		log.Fatal(err)
	}

	source := dir.New(folder, dir.Options{
		Exclude: []string{"**/.git/**"},
		Hash:    new(hasher).hash,
	})
	ctx := context.Background()
	resolved, err := source.Resolve(ctx, v1.Platform{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := resolved.InputDigest(ctx); err != nil {
		log.Fatal(err)
	}
	tree, err := resolved.Tree(ctx)
	if err != nil {
		log.Fatal(err)
	}
	e := tree.Entries[0]
	fmt.Printf("%04o %s %s\n", e.Mode, e.Path, e.SHA256.Hex[:8])
	// Output: 0644 tux.png 6ec9c2b0
}
