package distributiontest_test

import (
	"net/http"
	"testing"

	"github.com/pitcrew-dev/pitcrew/internal/distributiontest"
)

func TestTwoOfThemServeSideBySide(t *testing.T) {
	one, two := distributiontest.Start(t), distributiontest.Start(t)
	if one == two {
		t.Fatalf("both are at %s", one)
	}
	for _, addr := range []string{one, two} {
		resp, err := http.Get("http://" + addr + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("GET /v2/ of %s = %d, want 200", addr, resp.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
