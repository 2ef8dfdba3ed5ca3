package auth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/warmer/registry/auth"
)

type params = map[string]string

func TestChallenges(t *testing.T) {
	for _, test := range []struct {
		headers []string
		want    []auth.Challenge
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{`Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull"`}, []auth.Challenge{
			{Scheme: "bearer", Params: params{"realm": "https://auth.docker.io/token", "service": "registry.docker.io", "scope": "repository:library/debian:pull"}},
		}},
		{[]string{`Basic realm="Registry Realm"`, `bearer Realm = "x" , SERVICE=y`}, []auth.Challenge{
			{Scheme: "basic", Params: params{"realm": "Registry Realm"}}, {Scheme: "bearer", Params: params{"realm": "x", "service": "y"}},
		}},
		{[]string{`Basic realm="a", Bearer realm="b",service=c`}, []auth.Challenge{
			{Scheme: "basic", Params: params{"realm": "a"}}, {Scheme: "bearer", Params: params{"realm": "b", "service": "c"}},
		}},
		{[]string{`Bearer realm="a \"quoted\" \\ one"`}, []auth.Challenge{{Scheme: "bearer", Params: params{"realm": `a "quoted" \ one`}}}},
		{[]string{`Bearer realm="first",realm="second"`}, []auth.Challenge{{Scheme: "bearer", Params: params{"realm": "first"}}}},
		{[]string{`Bearer realm="never closed`}, []auth.Challenge{{Scheme: "bearer", Params: params{}}}},
		{[]string{`Negotiate`}, []auth.Challenge{{Scheme: "negotiate", Params: params{}}}},
		{[]string{`Negotiate abc==, Basic realm=x`}, []auth.Challenge{{Scheme: "negotiate", Params: params{"abc": ""}}, {Scheme: "basic", Params: params{"realm": "x"}}}},
		{[]string{"\x00\xff"}, nil},
	} {
		if diff := cmp.Diff(test.want, auth.ParseChallenges(test.headers)); diff != "" {
			t.Errorf("ParseChallenges(%q): want - got +:\n%s", test.headers, diff)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	for _, s := range []string{"", `Bearer realm="https://a/token",service="b",scope="c"`, `Basic realm=x, Bearer realm="y"`, `Negotiate abc==`, `a="\`, `,,, , ==`, "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := auth.ParseChallenges([]string{header, header})
		if len(got) > 16 {
			t.Errorf("ParseChallenges(%q) gave %d challenges", header, len(got))
		}
		for _, c := range got {
			if c.Scheme == "" || c.Params == nil || c.Scheme != strings.ToLower(c.Scheme) {
				t.Errorf("ParseChallenges(%q) gave %+v", header, c)
			}
			for k := range c.Params {
				if k == "" || k != strings.ToLower(k) {
					t.Errorf("ParseChallenges(%q) gave the key %q", header, k)
				}
			}
		}
	})
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestTheMostSpecificCredentialIsFirst(t *testing.T) {
	raw := fmt.Sprintf(`{"auths":{
		"https://index.docker.io/v1/": {"auth":%q},
		"registry.test": {"username":"all","password":"p"},
		"registry.test/games": {"username":"games","password":"p"},
		"https://registry.test/games/stk": {"username":"stk","password":"p"},
		"registry.test:5000": {"identitytoken":"id"},
		"*.dkr.ecr.*.amazonaws.com": {"registrytoken":"ecr"},
		"empty.test": {}
	}}`, encoded("hub:pass:word\x00"))
	config, err := auth.ParseConfig([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	named := func(names ...string) (all []auth.Credential) {
		for _, n := range names {
			all = append(all, auth.Credential{Username: n, Password: "p"})
		}
		return all
	}
	hub := []auth.Credential{{Username: "hub", Password: "pass:word"}}
	for _, test := range []struct {
		registry, repository string
		want                 []auth.Credential
	}{
		{"docker.io", "library/debian", hub},
		{"registry-1.docker.io", "library/debian", hub},
		{"registry.test", "games/stk", named("stk", "games", "all")},
		{"registry.test", "games/stk/x", named("stk", "games", "all")},
		{"registry.test", "games/stk2", named("games", "all")},
		{"registry.test", "gamesX", named("all")},
		{"registry.test:5000", "games/stk", []auth.Credential{{IdentityToken: "id"}}},
		{"registry.test:5001", "games/stk", nil},
		{"a.registry.test", "games/stk", nil},
		{"1.dkr.ecr.eu-west-1.amazonaws.com", "x", []auth.Credential{{RegistryToken: "ecr"}}},
		{"1.dkr.ecr.eu.west.amazonaws.com", "x", nil},
		{"evil.test/.dkr.ecr.x.amazonaws.com", "x", nil},
		{"empty.test", "x", nil},
	} {
		if diff := cmp.Diff(test.want, config.Find(test.registry, test.repository)); diff != "" {
			t.Errorf("Find(%s, %s): want - got +:\n%s", test.registry, test.repository, diff)
		}
	}
}

func TestABadConfigDoesNotTellItsSecrets(t *testing.T) {
	for _, raw := range []string{
		``, `{`, `{"auths":[]}`, `{"auths":{"a":{"auth":"secret!"}}}`, `{"auths":{"a":{"auth":"` + encoded("secret") + `"}}}`,
		`{"auths":{"a":{"password":{"secret":1}}}}`, strings.Repeat(" ", 1<<20+1),
	} {
		_, err := auth.ParseConfig([]byte(raw))
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseConfig(%.40q) = %v, want an error that does not quote it", raw, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{`{}`, `{"auths":{"a.test":{"auth":"YTpi"}}}`, `{"auths":{"*.[a":{"username":"x"}},"credsStore":"x"}`, `{"auths":{"https://a/v1/b/":{"username":"x"}}}`} {
		f.Add([]byte(s), "a.test", "b")
	}
	f.Fuzz(func(t *testing.T, raw []byte, registry, repository string) {
		config, err := auth.ParseConfig(raw)
		if err != nil {
			return
		}
		for _, c := range config.Find(registry, repository) {
			if c == (auth.Credential{}) {
				t.Errorf("Find(%q, %q) in %q gave nobody's credential", registry, repository, raw)
			}
		}
	})
}

// helper puts a credential helper on the path.
func helper(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWhereCredentialsComeFrom(t *testing.T) {
	const stored = `"auths":{"registry.test":{"username":"file","password":"p"}}`
	const ecrHost = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	noECR := func(string) (string, string, error) { return "", "", errors.New("no role") }
	for _, test := range []struct {
		name, registry, file, script string
		secrets                      []string
		ecr                          func(string) (string, string, error)
		want                         string // user names
		logged                       string
	}{
		{name: "nothing", registry: "registry.test", want: ""},
		{name: "a file", registry: "registry.test", file: `{` + stored + `}`, want: "file"},
		{name: "secrets first", registry: "registry.test", file: `{` + stored + `}`, secrets: []string{`{"auths":{"registry.test":{"username":"secret"}}}`}, want: "secret file"},
		{name: "a broken secret", registry: "registry.test", file: `{` + stored + `}`, secrets: []string{`{`}, want: "file", logged: "pull secret ignored"},
		{name: "a broken file", registry: "registry.test", file: `{`, want: "", logged: "credentials ignored"},
		{name: "a helper for all", registry: "registry.test", file: `{"credsStore":"test"}`, script: `read host; echo "{\"Username\":\"$1-$host\",\"Secret\":\"s\"}"`, want: "get-registry.test"},
		{name: "a helper for one", registry: "registry.test", file: `{"credHelpers":{"registry.test":"test"},"credsStore":"other",` + stored + `}`, script: `echo '{"Username":"one","Secret":"s"}'`, want: "one file"},
		{name: "Docker Hub's name for helpers", registry: "registry-1.docker.io", file: `{"credsStore":"test"}`, script: `read host; echo "{\"Username\":\"$host\",\"Secret\":\"s\"}"`, want: "https://index.docker.io/v1/"},
		{name: "a helper's identity token", registry: "registry.test", file: `{"credsStore":"test"}`, script: `echo '{"Username":"<token>","Secret":"s"}'`, want: "token:s"},
		{name: "a helper that knows nothing", registry: "registry.test", file: `{"credsStore":"test"}`, script: `echo credentials not found in native keychain; exit 1`, want: ""},
		{name: "a helper that fails", registry: "registry.test", file: `{"credsStore":"test",` + stored + `}`, script: `exit 1`, want: "file", logged: "credentials ignored"},
		{name: "a helper that raves", registry: "registry.test", file: `{"credsStore":"test"}`, script: `echo hello`, want: "", logged: "credentials ignored"},
		{name: "a helper elsewhere", registry: "registry.test", file: `{"credsStore":"../test"}`, want: "", logged: "not a program's name"},
		{name: "a secret's helper is not run", registry: "registry.test", secrets: []string{`{"credsStore":"test"}`}, script: `echo '{"Username":"one","Secret":"s"}'`, want: ""},
		{name: "Amazon", registry: ecrHost, ecr: func(h string) (string, string, error) { return "AWS-" + h, "p", nil }, want: "AWS-" + ecrHost},
		{name: "Amazon is asked last", registry: ecrHost, ecr: noECR, secrets: []string{`{"auths":{"*.dkr.ecr.*.amazonaws.com":{"username":"secret"}}}`}, want: "secret"},
		{name: "Amazon fails", registry: ecrHost, ecr: noECR, want: "", logged: "no login from Amazon"},
		{name: "not Amazon", registry: "1.dkr.ecr.eu-west-1.amazonaws.com.evil.test", ecr: func(string) (string, string, error) { return "AWS", "p", nil }, want: ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.script != "" {
				helper(t, test.script)
			}
			var logged strings.Builder
			c := auth.Credentials{ECR: test.ecr, Log: slog.New(slog.NewTextHandler(&logged, nil)), Files: []string{filepath.Join(t.TempDir(), "none.json")}}
			if test.file != "" {
				c.Files = append(c.Files, writeConfig(t, test.file))
			}
			c.PullSecrets = func(context.Context, string) (all [][]byte, err error) {
				for _, s := range test.secrets {
					all = append(all, []byte(s))
				}
				return all, nil
			}
			creds, err := c.Find(t.Context(), test.registry, "games/stk")
			if err != nil {
				t.Error(err)
			}
			var got []string
			for _, cred := range creds {
				if cred.IdentityToken != "" {
					cred.Username = "token:" + cred.IdentityToken
				}
				got = append(got, cred.Username)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("Find = %q, want %q", got, test.want)
			}
			if !strings.Contains(logged.String(), test.logged) || test.logged == "" && logged.Len() > 0 {
				t.Errorf("logged %q, want %q", logged.String(), test.logged)
			}
		})
	}
}
