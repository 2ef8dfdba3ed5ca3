package files_test

import (
	"context"
	"fmt"
	"log"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder/source/files"
)

func Example() {
	source := files.New("pipelines/stk", files.Options{
		Files: []files.File{
			{Path: "/tmp", Dir: true, Mode: 0o1777},
			{Path: "/etc/motd", Content: []byte("hello")},
		},
		Hash: hash,
	})
	resolved, err := source.Resolve(context.Background(), v1.Platform{OS: "linux", Architecture: "arm64"})
	if err != nil {
		log.Fatal(err)
	}
	tree, err := resolved.Tree(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range tree.Entries {
		fmt.Printf("%04o %s\n", e.Mode, e.Path)
	}
	// Output:
	// 0644 etc/motd
	// 1777 tmp
}
