package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// variable is the environment variable of a flag.
func variable(f *pflag.Flag) string {
	return "PITCREW_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// documentVariables names each flag's variable in its help text.
func documentVariables(root *cobra.Command) {
	seen := map[*pflag.Flag]bool{}
	document := func(f *pflag.Flag) {
		if !seen[f] {
			f.Usage += " [" + variable(f) + "]"
			seen[f] = true
		}
	}
	walk(root, func(c *cobra.Command) {
		c.PersistentFlags().VisitAll(document)
		c.Flags().VisitAll(document)
	})
}

// readVariables sets the flags that the command line left alone. It goes through FlagSet.Set, so that such a flag
// counts as given: for required flags and for flags that exclude each other.
func readVariables(flags *pflag.FlagSet, getenv func(string) string) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		value := getenv(variable(f))
		if err != nil || value == "" || f.Changed || f.Name == "help" || f.Name == "version" {
			return
		}
		if serr := set(flags, f, value); serr != nil {
			err = fmt.Errorf("%s=%q: %w", variable(f), value, serr)
		}
	})
	return err
}

// set gives a flag that may be repeated each of its values: the first replaces the default, the others are added.
func set(flags *pflag.FlagSet, f *pflag.Flag, value string) error {
	if _, ok := f.Value.(pflag.SliceValue); !ok {
		return flags.Set(f.Name, value)
	}
	for one := range strings.SplitSeq(value, ",") {
		if err := flags.Set(f.Name, one); err != nil {
			return err
		}
	}
	return nil
}
