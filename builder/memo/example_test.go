package memo_test

import (
	"fmt"
	"log"
	"os"

	"github.com/pitcrew-dev/pitcrew/builder/memo"
)

func ExampleOpen() {
	cacheDir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(cacheDir)

	m, err := memo.Open(cacheDir, "assets")
	if err != nil {
		log.Print(err) // a warning: the memo starts empty
	}
	stat := settled() // what lstat said about the file
	if _, ok := m.Lookup("karts/tux.png", stat); !ok {
		m.Remember("karts/tux.png", stat, hashOf(1)) // after reading it
	}
	if err := m.Save(); err != nil {
		log.Print(err)
	}

	m, _ = memo.Open(cacheDir, "assets")
	_, ok := m.Lookup("karts/tux.png", stat)
	fmt.Println(ok)
	// Output: true
}
