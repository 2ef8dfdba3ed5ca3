// Package worktreetest gives tests a clone of their own: scripts and documents can be run in it as somebody would who has just
// cloned the repository, and what they leave is gone with the test.
package worktreetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// when is the date of every commit that Commit makes, in git's and in RFC 3339's format.
const when = "2001-02-03T04:05:06Z"

// Commit makes a repository of one commit, dated 2001-02-03T04:05:06Z, of the working tree above root as it is now, and returns
// its folder and the commit's hash, which is the same for the same files.
func Commit(t testing.TB, root string) (dir, revision string) {
	t.Helper()
	source, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	git := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = in
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE="+when,
			"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_COMMITTER_DATE="+when)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git(dir, "init", "--quiet")
	git(source, "--git-dir="+filepath.Join(dir, ".git"), "--work-tree=.", "add", "--all")
	git(dir, "commit", "--quiet", "--no-gpg-sign", "--message", "as it is")
	git(dir, "reset", "--quiet", "--hard")
	return dir, git(dir, "rev-parse", "HEAD")
}
