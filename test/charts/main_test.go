package charts_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

func TestMain(m *testing.M) {
	code := run(m)
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // a temporary folder
	}
	os.Exit(code)
}

func run(m *testing.M) int {
	code := kubetest.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		println(err.Error())
		return 1
	}
	return code
}
