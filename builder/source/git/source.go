package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// Options are what a pipeline and its caller can say about a repository. URL, Ref, Store and CacheDir are required.
type Options struct {
	// URL is https, ssh (also as git@HOST:PATH), or http of this machine.
	URL string
	// Ref is a branch, a tag, a full reference or a commit's 40 hexadecimal digits.
	Ref string
	// Folder is the part of the repository that becomes the tree, slash-separated; empty for all of it.
	Folder string
	// User and Password are for https; empty for none. ssh asks the user's agent.
	User, Password string
	Limits         pack.Limits
	// Store keeps the files of commits.
	Store *pack.Store
	// CacheDir is where a repository is kept while its files are taken out of it.
	CacheDir string
}

// Source is a repository.
type Source struct{ options Options }

// New makes a source of a repository, which need not exist yet.
func New(options Options) *Source { return &Source{options} }

var commitSyntax = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Resolve asks the server which commit the reference stands for, and fetches nothing. It is the same for every platform.
func (s *Source) Resolve(ctx context.Context, _ v1.Platform) (builder.Resolved, error) {
	o := &s.options
	if commitSyntax.MatchString(o.Ref) {
		return &Resolved{options: o, commit: plumbing.NewHash(o.Ref)}, nil
	}
	remote := git.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: "origin", URLs: []string{o.URL}})
	refs, err := remote.ListContext(ctx, &git.ListOptions{Auth: o.auth(), PeelingOption: git.AppendPeeled})
	if err != nil {
		return nil, o.failed(ctx, err)
	}
	name, commit, ok := find(refs, o.Ref)
	if !ok {
		return nil, builder.Errorf(builder.Input, "name a branch, a tag or a whole commit", "%s has no branch or tag %q", o.name(), o.Ref)
	}
	return &Resolved{options: o, ref: name, commit: commit}, nil
}

// find is the reference that a name stands for, and its commit: of an annotated tag the one that it is of.
func find(refs []*plumbing.Reference, name string) (plumbing.ReferenceName, plumbing.Hash, bool) {
	byName := map[plumbing.ReferenceName]plumbing.Hash{}
	for _, r := range refs {
		byName[r.Name()] = r.Hash()
	}
	for _, full := range []string{name, "refs/heads/" + name, "refs/tags/" + name} {
		ref := plumbing.ReferenceName(full)
		commit, ok := byName[ref]
		if !ok || commit.IsZero() {
			continue
		}
		if peeled, ok := byName[ref+"^{}"]; ok {
			commit = peeled
		}
		return ref, commit, true
	}
	return "", plumbing.ZeroHash, false
}

func (o *Options) auth() transport.AuthMethod {
	if o.Password == "" || !strings.HasPrefix(o.URL, "https://") {
		return nil
	}
	return &http.BasicAuth{Username: o.User, Password: o.Password}
}

// name is what messages and provenance call the repository.
func (o *Options) name() string {
	if u, err := url.Parse(o.URL); err == nil && u.Scheme != "" {
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		return "git+" + u.String()
	}
	return "git+ssh://" + strings.Replace(o.URL, ":", "/", 1)
}

// Resolved is a commit. It is a [builder.Resolved].
type Resolved struct {
	options *Options
	ref     plumbing.ReferenceName // empty if the commit was named
	commit  plumbing.Hash
}

// InputDigest is of the commit and the folder.
func (r *Resolved) InputDigest(context.Context) (v1.Hash, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "git 1\n%s %q", r.commit, r.options.Folder))
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}, nil
}

// Pending is 0 for a commit whose files are there, else -1.
func (r *Resolved) Pending() int64 {
	key, err := r.InputDigest(context.Background())
	if err == nil {
		if _, packed, err := r.options.Store.Tree(key); err == nil && packed {
			return 0
		}
	}
	return -1
}

// Remote reports that the commit may have to be fetched.
func (r *Resolved) Remote() bool { return true }

// Pins is empty: a branch is meant to move.
func (r *Resolved) Pins() []builder.Pin { return nil }

// Materials is the commit.
func (r *Resolved) Materials() []builder.Material {
	return []builder.Material{{URI: r.options.name(), Name: r.options.Ref, Digest: v1.Hash{Algorithm: "gitCommit", Hex: r.commit.String()}}}
}
