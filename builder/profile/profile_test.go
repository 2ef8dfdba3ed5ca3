package profile_test

import (
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/profile"
)

func tree() builder.Tree {
	dir := func(p string) builder.Entry { return builder.Entry{Path: p, Type: builder.Dir, Mode: builder.ModeDir} }
	file := func(p string) builder.Entry {
		return builder.Entry{Path: p, Type: builder.Regular, Mode: builder.ModeFile, Size: 3, SHA256: v1.Hash{Algorithm: "sha256", Hex: "aa"}}
	}
	return builder.Tree{Entries: []builder.Entry{
		dir("data"), dir("data/fonts"), file("data/fonts/a.ttf"), dir("data/music"), file("data/music/m.ogg"),
		{Path: "data/music/n.ogg", Type: builder.Hardlink, Link: "data/music/m.ogg"},
		dir("data/track"), file("data/track/t.png"), file("data/track/t.xml"),
		{Path: "data/track/u.xml", Type: builder.Symlink, Link: "t.xml"},
		dir("void"),
	}}
}

func paths(t builder.Tree) []string {
	var out []string
	for _, e := range t.Entries {
		out = append(out, e.Path)
	}
	return out
}

func TestAProfileKeepsWhatItsGlobsSay(t *testing.T) {
	all := []string{"data", "data/fonts", "data/fonts/a.ttf", "data/music", "data/music/m.ogg", "data/music/n.ogg", "data/track", "data/track/t.png", "data/track/t.xml", "data/track/u.xml", "void"}
	for name, c := range map[string]struct {
		profile profile.Profile
		want    []string
	}{
		"nothing said":            {profile.Profile{}, all},
		"without sound, textures": {profile.Profile{Exclude: []string{"**/*.ogg", "**/*.png"}}, []string{"data", "data/fonts", "data/fonts/a.ttf", "data/music", "data/track", "data/track/t.xml", "data/track/u.xml", "void"}},
		"xml alone, pruned":       {profile.Profile{Include: []string{"**/*.xml"}, Prune: true}, []string{"data", "data/track", "data/track/t.xml", "data/track/u.xml"}},
		"a placeholder":           {profile.Profile{Exclude: []string{"**"}, Placeholders: []string{"data/fonts/*"}, Prune: true}, []string{"data", "data/fonts", "data/fonts/a.ttf"}},
		"a link to a placeholder": {profile.Profile{Placeholders: []string{"data/music/m.ogg"}, Exclude: []string{"**/*.png", "**/*.ttf"}}, []string{"data", "data/fonts", "data/music", "data/music/m.ogg", "data/track", "data/track/t.xml", "data/track/u.xml", "void"}},
	} {
		if diff := cmp.Diff(c.want, paths(c.profile.Apply(tree()))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAPlaceholderHasNoContent(t *testing.T) {
	p := profile.Profile{Placeholders: []string{"**/*.ttf"}}
	for e := range p.Apply(tree()).Files() {
		if e.Path != "data/fonts/a.ttf" {
			continue
		}
		in, err := e.Content.Open()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(in)
		if err != nil || len(raw) != 0 || e.Size != 0 || e.SHA256.Hex == "aa" || e.Mode != builder.ModeFile {
			t.Errorf("%q, %v, size %d, digest %s", raw, err, e.Size, e.SHA256)
		}
		return
	}
	t.Error("the placeholder is gone")
}

func TestWhatMoreProfilesHaveLiesLower(t *testing.T) {
	server := profile.Profile{Name: "server", Exclude: []string{"**/*.png", "data/music/**"}, Placeholders: []string{"**/*.ttf"}}
	spectator := profile.Profile{Name: "spectator", Exclude: []string{"data/music/**"}}
	group := profile.Groups(&server, []profile.Profile{server, spectator}, tree())
	got := map[string]string{}
	for _, e := range tree().Entries {
		got[e.Path] = group(&e)
	}
	full := profile.Groups(&profile.Profile{}, []profile.Profile{server, spectator}, tree())
	for _, e := range tree().Entries {
		if g := full(&e); e.Path == "data/track/t.png" && g != "10" || e.Path == "data/music/m.ogg" && g != "11" || e.Path == "data/track/t.xml" && g != "00" {
			t.Errorf("in the full image %s is of group %q", e.Path, g)
		}
	}
	for path, want := range map[string]string{"data/track/t.xml": "00", "data/fonts/a.ttf": "~", "data/music": "~", "void": "00"} {
		if got[path] != want {
			t.Errorf("in the server's image %s is of group %q, want %q", path, got[path], want)
		}
	}
}
