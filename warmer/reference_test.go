package warmer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

func TestParseReference(t *testing.T) {
	d := string(digest("x"))
	for in, want := range map[string]string{
		"stk":                              "docker.io/library/stk:latest",
		"org/stk:1":                        "docker.io/org/stk:1",
		"r.test:5000/a/b":                  "r.test:5000/a/b:latest",
		"r.test/a@" + d:                    "r.test/a@" + d,
		"r.test/a:1@" + d:                  "r.test/a@" + d,
		"":                                 "",
		"R.test/A":                         "",
		"r.test/a:":                        "",
		"r.test/a@sha256:1":                "",
		"r.test/a:1\n":                     "",
		"../../etc/passwd":                 "",
		"r.test/" + d:                      "r.test/" + d,
		d:                                  "docker.io/library/" + d,
		strings.Repeat("a", 300):           "",
		"r.test/a@sha512:" + d[7:] + d[7:]: "",
	} {
		got, err := warmer.ParseReference(in)
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("ParseReference(%q) = %v, %v; want %q", in, got, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%q", in)) {
			t.Errorf("ParseReference(%q): %v does not name it", in, err)
		}
	}
}

func TestRecordsAreThoseThatKubeletLooksFor(t *testing.T) {
	target, config := digest("index"), digest("config")
	for in, want := range map[string][]string{
		"r.test/a:1":                   {"r.test/a:1", "r.test/a@" + string(target), string(config)},
		"r.test/a@" + string(target):   {"r.test/a@" + string(target), string(config)},
		"r.test/a:1@" + string(target): {"r.test/a@" + string(target), string(config)},
	} {
		r, err := warmer.ParseReference(in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.Records(target, config)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

func TestAnAnswersStatusIsWhatItMatches(t *testing.T) {
	denied := fmt.Errorf("token: %w", warmer.ErrDenied)
	for _, c := range []struct {
		err  *warmer.RegistryError
		want error
	}{
		{&warmer.RegistryError{Status: 404}, warmer.ErrNotFound},
		{&warmer.RegistryError{Status: 401}, warmer.ErrDenied},
		{&warmer.RegistryError{Status: 403}, warmer.ErrDenied},
		{&warmer.RegistryError{Status: 429}, warmer.ErrUnavailable},
		{&warmer.RegistryError{Status: 500}, warmer.ErrUnavailable},
		{&warmer.RegistryError{Status: 599}, warmer.ErrUnavailable},
		{&warmer.RegistryError{Err: errors.New("connection refused")}, warmer.ErrUnavailable},
		{&warmer.RegistryError{Err: denied}, warmer.ErrDenied},
	} {
		for _, e := range []error{warmer.ErrNotFound, warmer.ErrDenied, warmer.ErrUnavailable} {
			if got := errors.Is(fmt.Errorf("pull: %w", c.err), e); got != errors.Is(c.want, e) {
				t.Errorf("%v matches %v: %t", c.err, e, got)
			}
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"stk", "r.test:5000/a/b:1", "r.test/a@" + string(digest("x")), "a:b@c", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := warmer.ParseReference(s)
		if err != nil {
			return
		}
		again, err := warmer.ParseReference(r.String())
		if err != nil || again != r {
			t.Errorf("ParseReference(%q) = %q, which is read as %q, %v", s, r, again, err)
		}
	})
}
