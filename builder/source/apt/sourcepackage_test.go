package apt

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/builder"
)

func TestTheFilesOfASourcePackageHaveTheirPlaces(t *testing.T) {
	for name, want := range map[string]string{
		"kart_1.4+dfsg.orig.tar.xz": "/", "kart_1.4+dfsg.orig-data-2.tar.gz": "/data-2", "kart_1.4+dfsg-2.debian.tar.xz": "/debian",
		"kart_1.4.tar.zst": "/", "kart_1.4+dfsg-2.dsc": "", "kart_1.4.orig.tar.xz.asc": "", "../kart_1.tar.gz": "", "kart.tar.gz": "",
	} {
		at, ok := place(name)
		if ok != (want != "") || ok && at != want {
			t.Errorf("place(%q) = %q, %v, want %q", name, at, ok, want)
		}
	}
}

func TestAptsListOfFilesIsRead(t *testing.T) {
	const sum = "64eb12a3bd1b2d8ebd5e8bde0d2a0a2ae9a6b3ff2bb8a6fbe18d7e6e9c9a3e0f"
	got, err := parseSource("Reading package lists...\n'http://m/kart_1.4%2bdfsg.orig.tar.xz' kart_1.4+dfsg.orig.tar.xz 641621276 SHA256:" + sum + "\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []file{{"http://m/kart_1.4%2bdfsg.orig.tar.xz", "kart_1.4+dfsg.orig.tar.xz", sum}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(file{})); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if _, err := parseSource("'http://m/x' x 1 MD5Sum:0\n"); builder.KindOf(err) != builder.Input {
		t.Errorf("without a SHA256: %v, want an Input error", err)
	}
}

func FuzzParseSource(f *testing.F) {
	f.Add("'http://m/x_1.tar.gz' x_1.tar.gz 1 SHA256:00\n")
	f.Fuzz(func(t *testing.T, text string) {
		files, err := parseSource(text)
		for _, l := range files {
			if err == nil && len(l.sha256) != 64 {
				t.Errorf("file %+v", l)
			}
		}
	})
}
