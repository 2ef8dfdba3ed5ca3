package apt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/apt"
)

// What apt-get update says on stderr, and which sources that is about.
func TestFailedSourcesAreToldFromWarnings(t *testing.T) {
	const m = "http://m/debian"
	for line, want := range map[string]string{
		"W: Failed to fetch http://m/debian/dists/bookworm/InRelease  Could not connect to m:80 (192.0.2.1). - connect (111: Connection refused)":                                      m + " 5",
		"W: Failed to fetch http://m/debian/dists/bookworm/InRelease  Could not resolve 'm'":                                                                                           m + " 5",
		"E: Failed to fetch http://m/debian/dists/bookworm/main/binary-arm64/Packages.xz  Hash Sum mismatch":                                                                           m + " 5",
		"E: Failed to fetch http://m/debian/dists/bookworm/InRelease  503  Service Unavailable [IP: 192.0.2.1 80]":                                                                     m + " 5",
		"E: Failed to fetch https://m/debian/dists/bookworm/InRelease  401  Unauthorized [IP: 192.0.2.1 443]":                                                                          "https://m/debian 4",
		"E: Failed to fetch http://m/debian/dists/nosuch/Release  404  Not Found [IP: 192.0.2.1 80]":                                                                                   m + " 3",
		"E: The repository 'http://m/debian nosuch Release' does not have a Release file.":                                                                                             m + " 3",
		"E: The repository 'http://m/debian bookworm InRelease' is not signed.":                                                                                                        m + " 3",
		"E: Release file for http://m/debian/dists/sid/InRelease is expired (invalid since 17d 2h 3min 4s). Updates for this repository will not be applied.":                          m + " 3",
		"W: GPG error: http://m/debian bookworm InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 6ED0E7B82643E131":          m + " 3",
		"W: An error occurred during the signature verification. The repository is not updated and the previous index files will be used. GPG error: http://m/debian stable InRelease": m + " 3",
		"E: Failed to fetch file:/mirror/./Packages  File not found - /mirror/./Packages (2: No such file or directory)":                                                               "file:/mirror 3",
		"W: Skipping acquire of configured file 'main/binary-arm64/Packages' as repository 'https://m/x stable InRelease' doesn't support architecture 'arm64'":                        "",
		"W: http://m/debian/dists/bookworm/InRelease: Key is stored in legacy trusted.gpg keyring":                                                                                     "",
		"W: Some index files failed to download. They have been ignored, or old ones used instead.":                                                                                    "",
		"E: Some index files failed to download. They have been ignored, or old ones used instead.":                                                                                    "",
		"N: Repository 'http://m/debian bookworm InRelease' changed its 'Version' value":                                                                                               "",
		"E: Malformed entry 1 in list file /etc/apt/sources.list (Component)":                                                                                                          "other: Malformed entry 1 in list file /etc/apt/sources.list (Component)",
	} {
		failures, other := apt.ParseFailures(line + "\n")
		var got []string
		for _, f := range failures {
			mirror, _, kind := f.Facts()
			got = append(got, fmt.Sprint(mirror, " ", kind))
		}
		for _, o := range other {
			got = append(got, "other: "+o)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s\n got %q, want %q", line, got, want)
		}
	}
}

func TestAFailedSourceConcernsItsOwnPackagesOnly(t *testing.T) {
	failures, _ := apt.ParseFailures("W: Failed to fetch http://m/debian/dists/bookworm/InRelease  Could not resolve 'm'\n")
	for uri, want := range map[string]bool{
		"http://m/debian/pool/main/h/hostname/hostname_1_arm64.deb":        true,
		"http://m/debian-security/pool/main/h/hostname/hostname_1_all.deb": false,
		"https://other/debian/pool/x.deb":                                  false,
	} {
		if got := failures[0].Concerns(uri); got != want {
			t.Errorf("Concerns(%s) = %t, want %t", uri, got, want)
		}
	}
}

const hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestURIsAreReadStrictly(t *testing.T) {
	good := "Reading package lists... 0%\r\rReading package lists... Done\n" +
		"Note, selecting 'mawk' instead of 'awk'\n" +
		"'http://m/pool/libgmp10_6.2.1%2bdfsg1_arm64.deb' libgmp10_2%3a6.2.1+dfsg1-1.1_arm64.deb 537920 SHA256:" + hash + "\n"
	packages, chosen, err := apt.ParseURIs(good)
	if err != nil || len(packages) != 1 {
		t.Fatalf("ParseURIs = %v, %v", packages, err)
	}
	p := packages[0]
	got := []string{p.Name, p.Version, p.Architecture, p.URI, p.SHA256.Hex, fmt.Sprint(p.Size), chosen["awk"]}
	want := []string{"libgmp10", "2:6.2.1+dfsg1-1.1", "arm64", "http://m/pool/libgmp10_6.2.1%2bdfsg1_arm64.deb", hash, "537920", "mawk"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("package (-want +got):\n%s", diff)
	}
	for name, line := range map[string]string{
		"no hash":         "'http://m/a.deb' aa_1_all.deb 5 \n",
		"an old hash":     "'http://m/a.deb' aa_1_all.deb 5 MD5Sum:d41d8cd98f00b204e9800998ecf8427e\n",
		"no size":         "'http://m/a.deb' aa_1_all.deb SHA256:" + hash + "\n",
		"a huge size":     "'http://m/a.deb' aa_1_all.deb 99999999999999999999 SHA256:" + hash + "\n",
		"a path in it":    "'http://m/a.deb' ../aa_1_all.deb 5 SHA256:" + hash + "\n",
		"an escaped path": "'http://m/a.deb' aa_1%2f..%2f_all.deb 5 SHA256:" + hash + "\n",
		"no version":      "'http://m/a.deb' aa_all.deb 5 SHA256:" + hash + "\n",
		"twice":           strings.Repeat("'http://m/a.deb' aa_1_all.deb 5 SHA256:"+hash+"\n", 2),
	} {
		if packages, _, err := apt.ParseURIs(line); err == nil {
			t.Errorf("%s: ParseURIs = %v, want an error", name, packages)
		}
	}
}

func FuzzParseURIs(f *testing.F) {
	f.Add("'http://m/a.deb' aa_1%3a1_all.deb 5 SHA256:" + hash + "\n")
	f.Fuzz(func(t *testing.T, stdout string) {
		packages, _, err := apt.ParseURIs(stdout)
		if err != nil {
			return
		}
		for _, p := range packages {
			if strings.ContainsAny(p.Name+p.Version+p.Architecture, "/\x00\n _") || p.Name == "" || p.Size < 0 || len(p.SHA256.Hex) != 64 {
				t.Errorf("package %+v", p)
			}
		}
	})
}

func FuzzParseFailures(f *testing.F) {
	f.Add("W: Failed to fetch http://u:p@m/debian/dists/bookworm/InRelease  Could not resolve 'm'\n")
	f.Fuzz(func(t *testing.T, stderr string) {
		failures, _ := apt.ParseFailures(stderr)
		for _, failure := range failures {
			if mirror, _, kind := failure.Facts(); mirror == "" || kind < int(builder.Input) || kind > int(builder.Transient) {
				t.Errorf("failure of %q with kind %d", mirror, kind)
			}
		}
	})
}
