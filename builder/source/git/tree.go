package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// largeFile is the size in bytes from which on a file is not held in memory.
const largeFile = 4 << 20

// Tree fetches the commit, unless its files are there. A branch that moved since Resolve, on a server that does not give out
// commits which nothing points to, is an Input error that matches [builder.ErrChanged].
func (r *Resolved) Tree(ctx context.Context) (builder.Tree, error) {
	key, err := r.InputDigest(ctx)
	if err != nil {
		return builder.Tree{}, err
	}
	tree, err := r.options.Store.Fill(ctx, key, func(w *pack.Writer) error { return r.fill(ctx, w, key.Hex) })
	if err != nil {
		return builder.Tree{}, fmt.Errorf("%s: commit %s: %w", r.options.name(), r.commit, err)
	}
	return tree, nil
}

// fill is called by one process at a time.
func (r *Resolved) fill(ctx context.Context, w *pack.Writer, name string) (err error) {
	dir := filepath.Join(r.options.CacheDir, "git", name)
	if err := os.RemoveAll(dir); err != nil { // of a process that was killed
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	store := filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRUDefault(), filesystem.Options{LargeObjectThreshold: largeFile, ExclusiveAccess: true})
	defer func() { err = errors.Join(err, store.Close()) }()
	repo, err := git.Init(store, nil)
	if err != nil {
		return err
	}
	if err := r.fetch(ctx, repo); err != nil {
		return err
	}
	commit, err := repo.CommitObject(r.commit)
	if err != nil {
		return builder.Errorf(builder.Input, "build again", "it is not what %s stands for any more: %w", r.options.Ref, builder.ErrChanged)
	}
	tree, err := commit.Tree()
	if err != nil {
		return err
	}
	w.Limit(r.options.Limits)
	return r.add(ctx, w, tree)
}

// fetch asks for the reference, if one was named, and then for the commit itself.
func (r *Resolved) fetch(ctx context.Context, repo *git.Repository) error {
	remote, err := repo.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{r.options.URL}})
	if err != nil {
		return err
	}
	if r.ref == "" {
		return r.fetchCommit(ctx, remote)
	}
	if err := r.get(ctx, remote, string(r.ref)); err != nil {
		return r.options.failed(ctx, err)
	}
	if _, err := repo.CommitObject(r.commit); err == nil {
		return nil
	}
	_ = r.get(ctx, remote, r.commit.String()) // fill finds out that it is missing
	return nil
}

func (r *Resolved) get(ctx context.Context, remote *git.Remote, what string) error {
	err := remote.FetchContext(ctx, &git.FetchOptions{
		RefSpecs: []config.RefSpec{config.RefSpec("+" + what + ":refs/pitcrew/wanted")}, Depth: 1, Tags: git.NoTags, Auth: r.options.auth(),
	})
	if errors.Is(err, git.NoErrAlreadyUpToDate) {
		return nil
	}
	return err
}

// fetchCommit asks for the commit, and, of a server that gives out only what a reference points to, for such a reference.
func (r *Resolved) fetchCommit(ctx context.Context, remote *git.Remote) error {
	err := r.get(ctx, remote, r.commit.String())
	if errors.Is(err, git.ErrExactSHA1NotSupported) {
		refs, lerr := remote.ListContext(ctx, &git.ListOptions{Auth: r.options.auth(), PeelingOption: git.AppendPeeled})
		if lerr != nil {
			return r.options.failed(ctx, lerr)
		}
		for _, ref := range refs {
			if ref.Hash() == r.commit {
				err = r.get(ctx, remote, strings.TrimSuffix(string(ref.Name()), "^{}"))
				break
			}
		}
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, git.ErrExactSHA1NotSupported) || strings.Contains(err.Error(), "not our ref") {
		return builder.Errorf(builder.Input, "name the branch or tag that has the commit, or use a whole commit that is there", "the server does not give it out: %w", err)
	}
	return r.options.failed(ctx, err)
}

// add takes the files out of a tree, below the folder.
func (r *Resolved) add(ctx context.Context, w *pack.Writer, root *object.Tree) error {
	folder := r.options.Folder
	if folder != "" {
		sub, err := root.Tree(folder)
		if err != nil {
			return builder.Errorf(builder.Input, "name a folder of the repository", "there is no folder %q: %w", folder, err)
		}
		root = sub
	}
	walker := object.NewTreeWalker(root, true, nil)
	defer walker.Close()
	for {
		name, entry, err := walker.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = put(w, root, name, entry)
		}
		if err != nil {
			return err
		}
	}
}

func put(w *pack.Writer, root *object.Tree, name string, entry object.TreeEntry) error {
	e := builder.Entry{Path: name, Type: builder.Regular, Mode: builder.ModeFile}
	switch entry.Mode {
	case filemode.Dir:
		return w.Add(builder.Entry{Path: name, Type: builder.Dir}, nil)
	case filemode.Submodule:
		return builder.Errorf(builder.Input, "add a git source for it, with the path as destination", "%q is a submodule", name)
	case filemode.Executable:
		e.Mode = builder.ModeExecutable
	case filemode.Symlink:
		e.Type = builder.Symlink
	case filemode.Regular, filemode.Deprecated:
	default:
		return builder.Errorf(builder.Input, "", "%q has mode %s", name, entry.Mode)
	}
	file, err := root.TreeEntryFile(&entry)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	in, err := file.Reader()
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	defer in.Close()
	if e.Type == builder.Symlink {
		target, err := io.ReadAll(io.LimitReader(in, 1<<12))
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		e.Link = string(target)
		if to := path.Join(path.Dir(name), e.Link); path.IsAbs(e.Link) || to == ".." || strings.HasPrefix(to, "../") {
			return builder.Errorf(builder.Input, "make the link relative, and to something in the repository", "%q is a symlink to %.80q, which leads out", name, e.Link)
		}
		return w.Add(e, nil)
	}
	body, err := notElsewhere(in)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	return w.Add(e, body)
}

var lfs = []byte("version https://git-lfs.github.com/spec/v1\n")

// notElsewhere refuses what Git LFS puts in the place of a file.
func notElsewhere(in io.Reader) (io.Reader, error) {
	head := make([]byte, len(lfs))
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if bytes.Equal(head[:n], lfs) {
		return nil, builder.Errorf(builder.Input, "make a working copy with git lfs, and use it as dir source", "the file is in Git LFS")
	}
	return io.MultiReader(bytes.NewReader(head[:n]), in), nil
}

// failed says whose fault it is that a server did not answer as it should.
func (o *Options) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed), errors.Is(err, transport.ErrInvalidAuthMethod):
		return builder.Errorf(builder.Auth, "set PITCREW_GIT_USER and PITCREW_GIT_PASSWORD (a token) for https, or start an ssh agent", "%s: %w", o.name(), err)
	case errors.Is(err, transport.ErrRepositoryNotFound), errors.Is(err, transport.ErrEmptyRemoteRepository), errors.Is(err, plumbing.ErrReferenceNotFound):
		return builder.Errorf(builder.Input, "check the repository's url and ref", "%s: %w", o.name(), err)
	}
	return builder.Errorf(builder.Transient, "try again", "%s: %w", o.name(), err)
}
