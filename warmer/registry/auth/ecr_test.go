package auth_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer/registry/auth"
)

// TestAmazonsRegistry has Amazon's own library ask a server that speaks as ECR does (GetAuthorizationToken in AWS's JSON 1.1
// protocol), on a machine where nothing can be written, as in our container.
func TestAmazonsRegistry(t *testing.T) {
	const account, region = "123456789012", "eu-west-1"
	registry := account + ".dkr.ecr." + region + ".amazonaws.com"
	var asked atomic.Int32
	var refuse atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if got := r.Header.Get("X-Amz-Target"); got != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" {
			t.Errorf("asked for %q", got)
		}
		if got := r.Header.Get("Authorization"); !strings.Contains(got, "Credential=AKIDEXAMPLE/") || !strings.Contains(got, "/"+region+"/ecr/aws4_request") {
			t.Errorf("signed with %q", got)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if refuse.Load() {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"AccessDeniedException","message":"not authorized to perform: ecr:GetAuthorizationToken"}`)
			return
		}
		fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d,"proxyEndpoint":%q}]}`,
			base64.StdEncoding.EncodeToString([]byte("AWS:password-of-ecr")), time.Now().Add(12*time.Hour).Unix(), "https://"+registry)
	}))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_ECR", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("HOME", "/dev/null/home") // where the library would keep tokens

	var logged strings.Builder
	c := auth.Credentials{Log: slog.New(slog.NewTextHandler(&logged, nil))}
	got, err := c.Find(t.Context(), registry, "games/stk")
	if want := (auth.Credential{Username: "AWS", Password: "password-of-ecr"}); err != nil || len(got) != 1 || got[0] != want || asked.Load() == 0 {
		t.Errorf("got %+v, %v after %d questions; logged %s", got, err, asked.Load(), &logged)
	}
	refuse.Store(true)
	if got, _ := c.Find(t.Context(), registry, "games/stk"); len(got) != 0 || !strings.Contains(logged.String(), "no login from Amazon") {
		t.Errorf("refused, and got %+v; logged %s", got, &logged)
	}
}
