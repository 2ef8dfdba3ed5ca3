package charts_test

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

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
	ctrllog.SetLogger(logr.Discard())
	code := kubetest.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		println(err.Error())
		return 1
	}
	return code
}
