package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/trace"
	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

// traceFlags say what is traced and what it is compared with.
type traceFlags struct {
	root   string
	prefix string
	merge  []string
	save   string
}

func traceCommand(o *options) *cobra.Command {
	var f traceFlags
	cmd := &cobra.Command{
		Use:   "trace --root DIR [--merge FILE]... [--save FILE] [-- COMMAND ARGS...]",
		Short: "Run a server, record which files of a tree it opens, and propose the profile of the assets that it can do with",
		Long: "Run a command to its end (Ctrl-C ends a server), record which files below --root it and its children open, and propose a\n" +
			"profile for the pipeline: kinds of files that no run opened are left out. Traces of several runs are joined with --merge;\n" +
			"without a command only these are looked at. It needs strace, and the right to trace processes (in a container: SYS_PTRACE).",
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := f.tree()
			if err != nil {
				return err
			}
			t, err := f.trace(cmd.Context(), root, args, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			files, err := filesOf(root)
			if err != nil {
				return err
			}
			p := trace.Propose(t, files, f.prefix)
			return o.print(cmd.OutOrStdout(), p, func(w io.Writer) error { return printProposal(w, p) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.root, "root", "", "the tree that is looked at, such as a folder of assets")
	flags.StringVar(&f.prefix, "prefix", "", "where the tree lies in the image, such as usr/share/games/kart")
	flags.StringArrayVar(&f.merge, "merge", nil, "a trace that was saved (may be repeated)")
	flags.StringVar(&f.save, "save", "", "write the trace, joined with those of --merge, to this file")
	return cmd
}

// tree is the absolute path of --root, without symlinks: as the kernel names files.
func (f *traceFlags) tree() (string, error) {
	if f.root == "" {
		return "", builder.Errorf(builder.Config, "name the folder of the assets", "--root is missing")
	}
	abs, err := filepath.Abs(f.root)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", builder.Errorf(builder.Input, "name a folder that is there", "--root: %w", err)
	}
	return abs, nil
}

// trace runs the command, if there is one, and joins what it did with the traces that were saved.
func (f *traceFlags) trace(ctx context.Context, root string, command []string, output io.Writer) (*trace.Trace, error) {
	var all []*trace.Trace
	for _, name := range f.merge {
		t, err := readTrace(name)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	if len(command) > 0 {
		t, err := runTraced(ctx, root, command, output)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil, builder.Errorf(builder.Config, "write the command behind --, or name saved traces with --merge", "there is nothing to look at")
	}
	t := trace.Merge(all...)
	if f.save == "" {
		return t, nil
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return t, os.WriteFile(f.save, append(raw, '\n'), 0o644)
}

func readTrace(name string) (*trace.Trace, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, builder.Errorf(builder.Input, "", "read trace: %w", err)
	}
	defer in.Close()
	return trace.Read(name, in)
}

// runTraced runs a command under strace. What the command says goes to output; how it ends is told in the log, since servers
// end by signals.
func runTraced(ctx context.Context, root string, command []string, output io.Writer) (t *trace.Trace, err error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, builder.Errorf(builder.Input, "install strace (Debian: apt-get install strace)", "trace: %w", err)
	}
	dir, err := os.MkdirTemp("", "pitcrew-trace-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "strace")
	cmd := exec.CommandContext(ctx, strace, append(append(trace.Arguments(file), "--"), command...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, output, output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // strace hands it on
	cmd.WaitDelay = 30 * time.Second
	werr := cmd.Run()
	in, err := os.Open(file)
	if err != nil {
		return nil, builder.Errorf(builder.Input, "allow tracing: in a container it takes SYS_PTRACE", "strace wrote nothing: %w", errors.Join(werr, err))
	}
	defer in.Close()
	if t, err = trace.Parse(in, root); err != nil {
		return nil, err
	}
	if werr != nil {
		cli.Log(ctx).Info("the command ended", "how", werr.Error())
	}
	return t, nil
}

func filesOf(root string) ([]trace.File, error) {
	var out []trace.File
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		out = append(out, trace.File{Path: filepath.ToSlash(rel), Size: info.Size()})
		return err
	})
	if err != nil {
		return nil, builder.Errorf(builder.Input, "make the tree readable", "look at the tree: %w", err)
	}
	return out, nil
}

func printProposal(w io.Writer, p *trace.Proposal) error {
	fmt.Fprintf(w, "# keeps %s of %s\n", bytesText(p.KeptBytes), bytesText(p.KeptBytes+p.DroppedBytes))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "# folder\textension\tfiles\topened\tkept\tdropped")
	for _, c := range p.Classes {
		fmt.Fprintf(tw, "# %s\t%s\t%d\t%d\t%s\t%s\n", c.Folder, c.Extension, c.Files, c.Opened, bytesText(c.KeptBytes), bytesText(c.DroppedBytes))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "profiles:\n  - name: server\n    directories: keep")
	for _, list := range []struct {
		name  string
		globs []string
	}{{"exclude", p.Exclude}, {"placeholders", p.Placeholders}} {
		if len(list.globs) == 0 {
			continue
		}
		fmt.Fprintf(w, "    %s:\n", list.name)
		for _, g := range list.globs {
			quoted, err := json.Marshal(g) // which YAML reads, too
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "      - %s\n", quoted)
		}
	}
	return nil
}
