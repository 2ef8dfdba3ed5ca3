package apt

import "github.com/pitcrew-dev/pitcrew/builder/source/pack"

// tarOptions are those for data.tar: packages may link to anywhere in the image they are installed in.
func tarOptions() pack.TarOptions { return pack.TarOptions{KeepAbsoluteLinks: true} }
