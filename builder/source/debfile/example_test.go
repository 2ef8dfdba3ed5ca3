package debfile_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"

	"github.com/pitcrew-dev/pitcrew/builder/source/debfile"
	"github.com/pitcrew-dev/pitcrew/builder/source/debfile/debfiletest"
)

func ExampleOpen() {
	deb := debfiletest.Deb{
		Package: "track", Compression: "xz",
		Files:    []tar.Header{debfiletest.File("./usr/share/track/name")},
		Contents: map[string]string{"./usr/share/track/name": "Cocoa Temple"},
	}
	d, err := debfile.Open(context.Background(), deb.FileName(), bytes.NewReader(deb.Bytes()))
	if err != nil {
		panic(err)
	}
	defer d.Close()
	fmt.Println(d.Control().Package, d.Control().Version)
	files := tar.NewReader(d.Data())
	for h, err := files.Next(); err == nil; h, err = files.Next() {
		fmt.Println(h.Name, h.Size)
	}
	fmt.Println(d.Finish())
	// Output:
	// track 1.0
	// ./usr/share/track/name 12
	// <nil>
}
