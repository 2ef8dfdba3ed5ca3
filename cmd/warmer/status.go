package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/warmer/kube"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/gate"
)

func statusCommand(o *options) *cobra.Command {
	var cluster clusterOptions
	c := &cobra.Command{
		Use:   "status",
		Short: "Show every image on every node of a cluster",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := cluster.connect()
			if err != nil {
				return err
			}
			client, err := kube.Client(config)
			if err != nil {
				return err
			}
			rows, err := gate.Overview(c.Context(), client)
			if err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), rows, func(w io.Writer) error { return nodesTable(w, rows) })
		},
	}
	cluster.addTo(c.Flags())
	return c
}

func nodesTable(w io.Writer, rows []gate.Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tPLAYERS\tIMAGE\tLAYERS\tSTATE\tPRESENT\tWANTED\tETA\tMESSAGE")
	for i := range rows {
		r := &rows[i]
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%.100q\n", r.Node, r.Players, or(r.Image), or(string(r.Layers)), or(string(r.State)), human(r.Present), human(r.Wanted), eta(r.ETASeconds), r.Message)
	}
	return t.Flush()
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
