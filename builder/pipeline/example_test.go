package pipeline_test

import (
	"fmt"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
)

func ExampleParse() {
	const text = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: kart}
platforms: [linux/amd64, linux/riscv64]
repository: kart
phases:
  assets:
    sources:
      - dir: {path: assets}
        ownr: "0:0"
`
	_, err := pipeline.Parse("pipeline.yaml", strings.NewReader(text), nil)
	fmt.Println(err)
	// Output:
	// pipeline.yaml:4:26: platforms[1]: "linux/riscv64" is not valid
	//     use linux/amd64 or linux/arm64
	// pipeline.yaml:10:9: phases.assets.sources[0].ownr: unknown field
	//     did you mean owner?
}

func ExampleParseSize() {
	size, err := pipeline.ParseSize("512MiB")
	fmt.Println(int64(size), err)
	// Output: 536870912 <nil>
}
