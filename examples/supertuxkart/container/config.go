package container

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Config is a server_config.xml for demonstrations and tests, which have less time than players: a race begins seconds after
// the first player came. set has other or more values, by their names.
func Config(set map[string]string) string {
	values := map[string]string{
		"server-name": "pitcrew", "server-port": "2759", "server-mode": "3", "server-max-players": "8", "wan-server": "false",
		"owner-less": "true", "ai-anywhere": "true", "start-game-counter": "2", "voting-timeout": "5", "enable-console": "false",
	}
	maps.Copy(values, set)
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\"?>\n<server-config version=\"6\">\n")
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "    <%s value=%q/>\n", name, values[name])
	}
	b.WriteString("</server-config>\n")
	return b.String()
}
