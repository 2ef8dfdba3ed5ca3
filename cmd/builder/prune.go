package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/prune"
	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

func pruneCommand(o *options) *cobra.Command {
	var (
		f      buildFlags
		keep   int
		delete bool
	)
	cmd := &cobra.Command{
		Use:   "prune -f pipeline.yaml --registry HOST/PREFIX [--keep N] [--delete]",
		Short: "List phase images that none of the last server images is made of; --delete deletes them",
		Long: "List the phase images in the pipeline's repositories that none of the last N server images is made of, with their manifests\n" +
			"and what is attached to them. --delete deletes them; without it nothing is changed. Server images stay. Do not run it while\n" +
			"builds run. The registry frees the space when it collects garbage.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.registry == "" || keep < 1 {
				return builder.Errorf(builder.Config, "", "prune needs --registry, and --keep of at least 1")
			}
			o.log = cli.Log(cmd.Context())
			server, all, err := o.pruned(f)
			if err != nil {
				return err
			}
			p, err := prune.New(cmd.Context(), server, all, keep)
			if err != nil {
				return err
			}
			if delete {
				if err := p.Execute(cmd.Context(), all); err != nil {
					return err
				}
			}
			return o.print(cmd.OutOrStdout(), p, func(w io.Writer) error { return printPruned(w, p) })
		},
	}
	cmd.Flags().StringVarP(&f.file, "file", "f", "pipeline.yaml", "the pipeline")
	cmd.Flags().StringVar(&f.registry, "registry", "", "registry and prefix that the pipeline's repositories are below")
	cmd.Flags().IntVar(&keep, "keep", 20, "how many server images count, newest first")
	cmd.Flags().BoolVar(&delete, "delete", false, "delete what is listed")
	return cmd
}

// pruned are the pipeline's repositories.
func (o *options) pruned(f buildFlags) (server prune.Repository, all []prune.Repository, err error) {
	p, _, err := readPipeline(f.file)
	if err != nil {
		return nil, nil, err
	}
	w := &wiring{options: o, flags: f, pipeline: p}
	client, seen := o.client(), map[string]bool{}
	if server, err = client.Repository(w.repository(p.Repository)); err != nil {
		return nil, nil, err
	}
	for _, np := range p.Each() {
		name := w.repository(np.Phase.Repository)
		if seen[name] {
			continue
		}
		seen[name] = true
		r, err := client.Repository(name)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, r)
	}
	return server, all, nil
}

func printPruned(w io.Writer, p *prune.Plan) error {
	verb := "would delete"
	if p.Deleted {
		verb = "deleted"
	}
	for _, i := range p.Delete {
		fmt.Fprintf(w, "%s %s %s@%s %v\n", verb, i.Kind, i.Repository, i.Digest, i.Tags)
	}
	_, err := fmt.Fprintf(w, "%d in all; counted server images: %v\n", len(p.Delete), p.Kept)
	return err
}
