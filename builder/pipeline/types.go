package pipeline

// Values of the file's first two lines.
const (
	APIVersion = "pitcrew.dev/v1alpha1"
	Kind       = "Pipeline"
)

// Pipeline is the whole file. Fields that are left out have the defaults of their comments.
type Pipeline struct {
	// APIVersion is the version of this format.
	APIVersion string `yaml:"apiVersion" jsonschema:"enum=pitcrew.dev/v1alpha1"`
	// Kind tells the file from other files with the same apiVersion.
	Kind     string   `yaml:"kind" jsonschema:"enum=Pipeline"`
	Metadata Metadata `yaml:"metadata"`
	// Platforms are what the image is for.
	Platforms []string `yaml:"platforms" jsonschema:"minItems=1,uniqueItems=true,enum=linux/amd64,enum=linux/arm64"`
	// Repository holds the server image, below the registry that the command line names.
	Repository string `yaml:"repository"`
	// Tags are moved to each new server image, last of all.
	Tags []string `yaml:"tags,omitempty" jsonschema:"uniqueItems=true"`
	// Lock is the lock file's path, relative to the pipeline's folder and below it (default assets.lock).
	Lock string `yaml:"lock,omitempty"`
	// Annotations are further OCI annotations of the index and the manifests.
	Annotations map[string]string `yaml:"annotations,omitempty"`
	Limits      Limits            `yaml:"limits,omitempty"`
	Budgets     Budgets           `yaml:"budgets,omitempty"`
	Phases      Phases            `yaml:"phases"`
}

// Metadata names the pipeline.
type Metadata struct {
	// Name is a lower case word with dashes, at most 63 letters. Files that belong to the pipeline are named for it.
	Name string `yaml:"name" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
}

// Limits bound what one archive may unpack to: an archive beyond them is taken for hostile.
type Limits struct {
	// MaxUnpackedSize is the sum of its files' sizes (default 64GiB).
	MaxUnpackedSize Size `yaml:"maxUnpackedSize,omitempty"`
	// MaxEntries counts its files, folders and links (default 2000000).
	MaxEntries int `yaml:"maxEntries,omitempty" jsonschema:"minimum=1"`
}

// Budgets make a build fail with exit code 6 when they are exceeded; what is left out is not checked.
type Budgets struct {
	// Image is what a cold node may pull for one platform.
	Image Size `yaml:"image,omitempty"`
	// Edit is what a node that has the tag's present image may pull.
	Edit Size `yaml:"edit,omitempty"`
	// Layers is how many layers the image may have on one platform.
	Layers int `yaml:"layers,omitempty" jsonschema:"minimum=1,maximum=120"`
}

// Phases are the four parts of the image, bottom first. At least one is there.
type Phases struct {
	// Assets are the files that are the same on every platform: the artists' phase.
	Assets *Phase `yaml:"assets,omitempty"`
	// Base is the operating system's part.
	Base *Phase `yaml:"base,omitempty"`
	// Code is the game itself: the developers' phase.
	Code *Phase `yaml:"code,omitempty"`
	// Server is how the game is run: its configuration and entrypoint.
	Server *Phase `yaml:"server,omitempty"`
}

// Phase is what one team owns.
type Phase struct {
	// Repository holds the phase's own image (default: the pipeline's repository).
	Repository string `yaml:"repository,omitempty"`
	// Sources are where the phase's files come from.
	Sources []Source `yaml:"sources,omitempty" jsonschema:"minItems=1"`
	// Build is a command that makes files of the phase; not in the assets phase.
	Build *Build `yaml:"build,omitempty"`
	// Replaces are globs of paths that the phase may write although a phase below wrote them.
	Replaces []string `yaml:"replaces,omitempty"`
	Split    Split    `yaml:"split,omitempty"`
	// Compression is auto (default for assets), none, gzip[:1-9] or zstd[:1-11] (default for the others: zstd:3).
	Compression string `yaml:"compression,omitempty" jsonschema:"pattern=^(auto|none|gzip(:[1-9])?|zstd(:([1-9]|1[01]))?)$"`
	Config      Config `yaml:"config,omitempty"`
	// Profiles are parts of the assets that some programs can do with; only in the assets phase.
	Profiles []Profile `yaml:"profiles,omitempty" jsonschema:"minItems=1"`
	// Profile is the one of profiles that the image has, or full (default): all of the assets.
	Profile string `yaml:"profile,omitempty"`
}

// Profile is a part of the assets. Globs are on paths of the image, without leading slash.
type Profile struct {
	// Name is a lower case word with dashes; full is taken.
	Name string `yaml:"name" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
	// Include are globs of files to keep (default: everything).
	Include []string `yaml:"include,omitempty"`
	// Exclude are globs of files to leave out; they win over include.
	Exclude []string `yaml:"exclude,omitempty"`
	// Placeholders are globs of files that are kept without their content.
	Placeholders []string `yaml:"placeholders,omitempty"`
	// Directories: keep (default) all folders, or prune those in which nothing is left.
	Directories string `yaml:"directories,omitempty" jsonschema:"enum=keep,enum=prune"`
}

// Split is how many layers the phase becomes.
type Split struct {
	// Layers to aim for (default 32 for assets, else 1).
	Layers int `yaml:"layers,omitempty" jsonschema:"minimum=1,maximum=100"`
	// MaxLayerSize bounds a layer (default 512MiB).
	MaxLayerSize Size `yaml:"maxLayerSize,omitempty"`
	// MaxDeltas is how many delta layers the assets may have before two of them are merged (default 24).
	MaxDeltas int `yaml:"maxDeltas,omitempty" jsonschema:"minimum=1,maximum=64"`
}

// Config is what the image says about running it. Upper phases win.
type Config struct {
	// Env are environment variables.
	Env map[string]string `yaml:"env,omitempty"`
	// Entrypoint is the program and its first arguments.
	Entrypoint []string `yaml:"entrypoint,omitempty"`
	// Cmd are arguments that whoever runs the image can replace.
	Cmd []string `yaml:"cmd,omitempty"`
	// User is who the program runs as: a numeric UID:GID.
	User string `yaml:"user,omitempty" jsonschema:"pattern=^[0-9]+:[0-9]+$"`
	// WorkingDir is an absolute path.
	WorkingDir string `yaml:"workingDir,omitempty"`
	// Ports are such as 2759/udp; without a protocol, tcp is meant.
	Ports []string `yaml:"ports,omitempty" jsonschema:"uniqueItems=true"`
	// Labels are the image configuration's labels.
	Labels map[string]string `yaml:"labels,omitempty"`
	// StopSignal asks the program to end, such as SIGTERM.
	StopSignal string `yaml:"stopSignal,omitempty"`
	// Volumes are absolute paths of folders that hold what must outlive a container.
	Volumes []string `yaml:"volumes,omitempty" jsonschema:"uniqueItems=true"`
}
