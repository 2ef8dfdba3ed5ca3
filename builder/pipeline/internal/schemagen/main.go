// Command schemagen writes the JSON Schema of pipeline.yaml to standard output. It takes descriptions from the
// comments of the package in the current folder: see the go:generate line there.
package main

import (
	"fmt"
	"log"

	"github.com/pitcrew-dev/pitcrew/builder/pipeline/internal/schema"
)

func main() {
	raw, err := schema.Generate(".")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(raw))
}
