package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// before runs hook once flags are parsed, ahead of the command's own hooks. Cobra runs only the innermost persistent
// hook, so each command that has one gets ours in front of it.
func before(root *cobra.Command, hook func(*cobra.Command) error) {
	walk(root, func(c *cobra.Command) {
		own, plain := c.PersistentPreRunE, c.PersistentPreRun
		if c != root && own == nil && plain == nil {
			return
		}
		c.PersistentPreRunE = func(c *cobra.Command, args []string) error {
			if err := hook(c); err != nil {
				return err
			}
			switch {
			case own != nil:
				return own(c, args)
			case plain != nil:
				plain(c, args)
			}
			return nil
		}
	})
}

// onStart calls started when cobra hands over to a command's own code: what fails before that is a wrong command line.
func onStart(root *cobra.Command, started func()) {
	walk(root, func(c *cobra.Command) {
		if run := c.RunE; run != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				started()
				return run(c, args)
			}
		}
	})
}

func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}

// incomplete is the error for a command line that names only a group of commands, for which cobra prints help and
// reports success: a script with an empty variable would go on.
func incomplete(c *cobra.Command) error {
	if c.Runnable() || helpAsked(c) {
		return nil
	}
	if args := c.Flags().Args(); len(args) > 0 {
		return fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return errors.New("name a command: " + strings.Join(names, ", "))
}

func helpAsked(c *cobra.Command) bool {
	for _, name := range []string{"help", "version"} {
		if f := c.Flags().Lookup(name); f != nil && f.Changed {
			return true
		}
	}
	return false
}
