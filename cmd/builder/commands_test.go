package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/verify"
)

func command(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append(args, "--cache-dir", filepath.Join(dir, ".cache"))
	code = run(t.Context(), args, func(string) string { return "" }, &out, &errs)
	return code, out.String(), errs.String()
}

func TestPlanSaysWhatABuildWouldDo(t *testing.T) {
	dir, reg := project(t), testRegistry(t)
	file := filepath.Join(dir, "pipeline.yaml")
	args := []string{"plan", "-f", file, "--registry", reg, "--plain-http", "--output", "json", "--cache-dir", filepath.Join(dir, ".cache")}
	plan := func(wantCode int) build.Plan {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, func(string) string { return "" }, &out, &errs); code != wantCode {
			t.Fatalf("plan: exit %d, want %d\n%s", code, wantCode, errs.String())
		}
		if strings.Contains(errs.String(), "error") {
			t.Errorf("a plan with changes is not an error: %s", errs.String())
		}
		var p build.Plan
		decode(t, out.String(), &p)
		return p
	}

	reasons := func(p build.Plan) string {
		var out []string
		for _, ph := range p.Phases {
			out = append(out, ph.Name+": "+ph.Reason)
		}
		return strings.Join(out, "\n")
	}

	first := plan(10)
	if diff := cmp.Diff("assets: no earlier build is known\ncode: no earlier build is known\nserver: no earlier build is known", reasons(first)); diff != "" {
		t.Errorf("reasons of a first build (-want +got):\n%s", diff)
	}
	if _, _, stderr := command(t, dir, "inspect", reg+"/game:1", "--plain-http"); !strings.Contains(stderr, "not found") {
		t.Errorf("after a plan the tag is there: %s", stderr)
	}
	res := mustBuild(t, dir, "--registry", reg, "--plain-http")
	if first.Digest != res.Digest {
		t.Errorf("plan foretold %s, the build gave %s", first.Digest, res.Digest)
	}
	if none := plan(0); none.Changes || none.Nodes[0].WarmBytes != 0 || none.Nodes[0].ColdBytes == 0 {
		t.Errorf("plan of no change = %+v", none)
	}

	write(t, dir, "amd64/bin/game", "better")
	code := plan(10)
	const unchanged = "nothing changed: every layer is there"
	if got := reasons(code); !strings.Contains(got, "assets: "+unchanged) || !strings.Contains(got, "code: its sources or settings changed: the present image has input sha256:") {
		t.Errorf("reasons of a code change:\n%s", got)
	}
	write(t, dir, "amd64/bin/game", "amd64 code")

	write(t, dir, "assets/tex/c.png", noise(99))
	write(t, dir, "assets/new.xml", "<new/>")
	if err := os.Remove(filepath.Join(dir, "assets/h.xml")); err != nil {
		t.Fatal(err)
	}
	edit := plan(10)
	if got := reasons(edit); !strings.Contains(got, "assets: 3 files changed: game/h.xml, game/new.xml, game/tex/c.png\ncode: "+unchanged) {
		t.Errorf("reasons of an edit:\n%s", got)
	}
	var causes []string
	for _, l := range edit.Layers {
		for _, c := range l.Causes {
			causes = append(causes, c.Change+" "+c.Path)
		}
	}
	slices.Sort(causes)
	want := []string{"added game/new.xml", "changed game/tex/c.png", "removed game/h.xml"}
	if !slices.Equal(causes, want) {
		t.Errorf("causes = %q, want %q", causes, want)
	}
	pushed := mustBuild(t, dir, "--registry", reg, "--plain-http")
	if small := edit.PushBytes - pushed.PushedBytes; small < 0 || small > 20_000 {
		t.Errorf("plan foretold %d bytes, the build pushed %d of layers", edit.PushBytes, pushed.PushedBytes)
	}
}

func TestPlanForPeople(t *testing.T) {
	dir := project(t)
	write(t, dir, "assets/a|b`c.xml", "<x/>")
	file, out := filepath.Join(dir, "pipeline.yaml"), filepath.Join(t.TempDir(), "out.oci")
	code, stdout, _ := command(t, dir, "plan", "-f", file, "--layout", out, "--output", "markdown")
	if code != 10 || !strings.Contains(stdout, "| linux/arm64 |") || strings.Contains(stdout, "a|b`c") {
		t.Errorf("markdown: exit %d\n%s", code, stdout)
	}
	code, stdout, _ = command(t, dir, "plan", "-f", file, "--layout", out)
	if code != 10 || !strings.Contains(stdout, "a node with the present image pulls") {
		t.Errorf("text: exit %d\n%s", code, stdout)
	}
	write(t, dir, "small.yaml", strings.Replace(gamePipeline, "{layers: 40}", "{image: 1KiB}", 1))
	code, _, stderr := command(t, dir, "plan", "-f", filepath.Join(dir, "small.yaml"), "--layout", out)
	if code != 6 || !strings.Contains(stderr, "the budget is 1.0 KiB") {
		t.Errorf("over budget: exit %d\n%s", code, stderr)
	}
}

func TestComposeGivesWhatBuildGives(t *testing.T) {
	reg := testRegistry(t)
	whole := mustBuild(t, project(t), "--registry", testRegistry(t), "--plain-http")

	dir := project(t) // each phase by its owner, the code on a runner of each platform
	file := filepath.Join(dir, "pipeline.yaml")
	compose := []string{"compose", "-f", file, "--registry", reg, "--plain-http", "--output", "json"}
	mustBuild(t, dir, "--registry", reg, "--plain-http", "--phase", "assets")
	mustBuild(t, dir, "--registry", reg, "--plain-http", "--phase", "server")
	mustBuild(t, dir, "--registry", reg, "--plain-http", "--phase", "code", "--platform", "linux/amd64")
	code, _, stderr := command(t, dir, compose...)
	if code != 3 || !strings.Contains(stderr, "no image of phase code for linux/arm64") || !strings.Contains(stderr, "builder build --phase code --platform linux/arm64") {
		t.Errorf("compose with a phase missing: exit %d\n%s", code, stderr)
	}
	arm := mustBuild(t, dir, "--registry", reg, "--plain-http", "--phase", "code", "--platform", "linux/arm64")
	code, stdout, stderr := command(t, dir, compose...)
	if code != 0 {
		t.Fatalf("compose: exit %d\n%s", code, stderr)
	}
	var res build.Result
	decode(t, stdout, &res)
	if res.Digest != whole.Digest {
		t.Errorf("compose gave %s, build %s", res.Digest, whole.Digest)
	}
	if res.PushedBytes != 0 {
		t.Errorf("compose pushed %d bytes of layers, want them mounted", res.PushedBytes)
	}

	code, stdout, stderr = command(t, dir, append(compose, "--platform", "linux/arm64", "--tag", "arm", "--from", "code="+arm.Ref)...)
	if code != 0 || !strings.Contains(stdout, "sha256:") {
		t.Errorf("compose --from: exit %d\n%s", code, stderr)
	}
	if code, _, _ := command(t, dir, append(compose, "--from", "nonsense")...); code != 2 {
		t.Errorf("compose --from nonsense: exit %d, want 2", code)
	}
}

func TestVerify(t *testing.T) {
	dir := project(t)
	out := filepath.Join(t.TempDir(), "out.oci")
	res := mustBuild(t, dir, "--layout", out)
	ref, file := "oci:"+out+":1", filepath.Join(dir, "pipeline.yaml")
	code, stdout, stderr := command(t, dir, "verify", ref, "-f", file, "--layout", out, "--output", "json")
	if code != 0 {
		t.Fatalf("verify: exit %d\n%s", code, stderr)
	}
	var report verify.Report
	decode(t, stdout, &report)
	if report.Digest != res.Digest || report.Layers == 0 || report.Bytes == 0 {
		t.Errorf("report = %+v", report)
	}

	write(t, dir, "assets/a.xml", strings.Repeat("<y/>", 1000))
	if code, _, stderr := command(t, dir, "verify", ref, "-f", file, "--layout", out); code != 3 || !strings.Contains(stderr, "the sources and the lock give") {
		t.Errorf("verify against other sources: exit %d\n%s", code, stderr)
	}
	blobs, err := filepath.Glob(filepath.Join(out, "blobs/sha256/*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(blobs, func(a, b string) int { return int(size(t, b) - size(t, a)) })
	damage(t, blobs[0])
	if code, _, stderr := command(t, dir, "verify", ref); code != 3 || !strings.Contains(stderr, filepath.Base(blobs[0])[:12]) {
		t.Errorf("verify of a damaged layer: exit %d\n%s", code, stderr)
	}
}

func size(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func damage(t *testing.T, name string) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestATarballIsADockerAndAnOCIImage(t *testing.T) {
	dir := project(t)
	file := filepath.Join(t.TempDir(), "game.tar")
	res := mustBuild(t, dir, "--tarball", file)
	toLayout := mustBuild(t, dir, "--layout", filepath.Join(t.TempDir(), "out.oci"))
	if res.Digest != toLayout.Digest {
		t.Errorf("digest in a tarball %s, in a layout %s", res.Digest, toLayout.Digest)
	}
	tag, err := name.NewTag("game:1")
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatalf("docker's format: %v", err)
	}
	if cf, err := img.ConfigFile(); err != nil || cf.Config.User != "65532:65532" {
		t.Errorf("config = %+v, %v", cf, err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) == 0 {
		t.Fatalf("layers = %v, %v", layers, err)
	}
	unpacked := t.TempDir()
	untar(t, file, unpacked)
	if code, _, stderr := command(t, dir, "verify", "oci:"+unpacked+":1"); code != 0 {
		t.Errorf("verify as an OCI layout: exit %d\n%s", code, stderr)
	}
	if left, _ := filepath.Glob(file + ".tmp-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func untar(t *testing.T, file, dir string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, h.Name, string(raw))
	}
}

func TestAFrozenLockIsNotWritten(t *testing.T) {
	dir := project(t)
	out := filepath.Join(t.TempDir(), "out.oci")
	file := filepath.Join(dir, "pipeline.yaml")
	if code, _, stderr := command(t, dir, "build", "-f", file, "--layout", out, "--frozen"); code != 6 || !strings.Contains(stderr, "assets.lock would change") {
		t.Errorf("first build, frozen: exit %d\n%s", code, stderr)
	}
	mustBuild(t, dir, "--layout", out)
	if code, _, stderr := command(t, dir, "build", "-f", file, "--layout", out, "--frozen"); code != 0 {
		t.Errorf("second build, frozen: exit %d\n%s", code, stderr)
	}
}

func TestAnnotationsOfTheCommandLineLieOverThePipelines(t *testing.T) {
	dir := project(t)
	write(t, dir, "pipeline.yaml", gamePipeline+"annotations: {org.opencontainers.image.title: Game, org.opencontainers.image.vendor: Us}\n")
	out := filepath.Join(dir, "image.oci")
	flags := []string{"-f", filepath.Join(dir, "pipeline.yaml"), "--layout", out}
	annotated := append(slices.Clone(flags), "--annotation", "org.opencontainers.image.revision=a=1", "--annotation", "org.opencontainers.image.title=Kart")

	if code, _, stderr := command(t, dir, append([]string{"build"}, annotated...)...); code != 0 {
		t.Fatalf("build: exit %d\n%s", code, stderr)
	}
	_, img := loaded(t, out, "1")
	for _, have := range []map[string]string{img.Annotations, img.Platforms[0].Annotations, img.Platforms[1].Annotations} {
		got := []string{have["org.opencontainers.image.revision"], have["org.opencontainers.image.title"], have["org.opencontainers.image.vendor"]}
		if diff := cmp.Diff([]string{"a=1", "Kart", "Us"}, got); diff != "" {
			t.Errorf("revision, title, vendor (-want +got):\n%s", diff)
		}
	}
	if code, _, stderr := command(t, dir, append([]string{"verify", "oci:" + out + ":1"}, annotated...)...); code != 0 {
		t.Errorf("verify with the same annotations: exit %d\n%s", code, stderr)
	}
	if code, _, _ := command(t, dir, append([]string{"verify", "oci:" + out + ":1"}, flags...)...); code == 0 {
		t.Error("verify accepts an image with other annotations than it would build")
	}
	for _, bad := range []string{"title", "=x", "dev.pitcrew.phase=assets"} {
		code, _, stderr := command(t, dir, append([]string{"build", "--annotation", bad}, flags...)...)
		if code != 2 || !strings.Contains(stderr, "hint:") || !strings.Contains(stderr, bad) {
			t.Errorf("--annotation %s: exit %d, want 2 with a hint\n%s", bad, code, stderr)
		}
	}
}
