package cli

import (
	"cmp"
	"runtime/debug"
)

// Version is the release that --version prints: what the linker stamped, or, for a binary that was not stamped ("" or
// "dev"), the module version that the go command recorded.
func Version(stamped string) string {
	if stamped != "" && stamped != "dev" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "(devel)" {
		return "dev"
	}
	return cmp.Or(info.Main.Version, "dev")
}
