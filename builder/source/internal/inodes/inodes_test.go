package inodes_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/inodes"
)

var tree = builder.Tree{Entries: []builder.Entry{
	{Path: "d", Type: builder.Dir, Mode: 0o700},
	{Path: "d/a", Type: builder.Regular, Mode: 0o644, Size: 3},
	{Path: "d/b", Type: builder.Hardlink, Mode: 0o644, Link: "d/a"},
	{Path: "d/c", Type: builder.Hardlink, Mode: 0o644, Link: "d/a"},
	{Path: "d/x", Type: builder.Symlink, Mode: 0o777, Link: "a"},
}}

func TestATreeSurvivesBeingTakenApart(t *testing.T) {
	nodes := inodes.Split(tree)
	slices.Reverse(nodes)
	if diff := cmp.Diff(tree, inodes.Join(nodes)); diff != "" {
		t.Errorf("Join(Split(tree)) (-want +got):\n%s", diff)
	}
}

func TestALinkOutlivesItsTarget(t *testing.T) {
	nodes := inodes.Split(tree)
	nodes = slices.Delete(nodes, 1, 2)
	got := inodes.Join(nodes)
	want := builder.Tree{Entries: []builder.Entry{
		tree.Entries[0],
		{Path: "d/b", Type: builder.Regular, Mode: 0o644, Size: 3},
		{Path: "d/c", Type: builder.Hardlink, Mode: 0o644, Link: "d/b"},
		tree.Entries[4],
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestALinkThatMovedBeforeItsTargetBecomesTheFile(t *testing.T) {
	nodes := inodes.Split(tree)[1:3]
	nodes[1].Path = "0/new/b"
	want := builder.Tree{Entries: []builder.Entry{
		{Path: "0", Type: builder.Dir, Mode: 0o755},
		{Path: "0/new", Type: builder.Dir, Mode: 0o755},
		{Path: "0/new/b", Type: builder.Regular, Mode: 0o644, Size: 3},
		{Path: "d", Type: builder.Dir, Mode: 0o755},
		{Path: "d/a", Type: builder.Hardlink, Mode: 0o644, Link: "0/new/b"},
	}}
	if diff := cmp.Diff(want, inodes.Join(nodes)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}
