package compose

// Limits on the number of layers of one image. Overlay mounts and engines stop working somewhere above 120
// (docker's hard limit is 128); the warning leaves room for what others put on top.
const (
	WarnLayers = 100
	MaxLayers  = 120
)
