package pipeline

// Values of the file's first two lines.
const (
	APIVersion = "pitcrew.dev/v1alpha1"
	Kind       = "Pipeline"
)

// Pipeline is the whole file. Fields that are left out have the defaults of their comments.
type Pipeline struct {
	APIVersion string   `yaml:"apiVersion" json:"apiVersion" jsonschema:"enum=pitcrew.dev/v1alpha1"`
	Kind       string   `yaml:"kind" json:"kind" jsonschema:"enum=Pipeline"`
	Metadata   Metadata `yaml:"metadata" json:"metadata"`
	// Platforms are what the image is for: linux/amd64, linux/arm64.
	Platforms []string `yaml:"platforms" json:"platforms" jsonschema:"minItems=1"`
	// Repository holds the server image, below the registry that the command line names.
	Repository string `yaml:"repository" json:"repository"`
	// Tags are moved to each new server image, last of all.
	Tags []string `yaml:"tags,omitempty" json:"tags,omitempty"`
	// Lock is the lock file's path beside the pipeline (default assets.lock).
	Lock        string            `yaml:"lock,omitempty" json:"lock,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty" json:"annotations,omitempty"`
	Budgets     Budgets           `yaml:"budgets,omitempty" json:"budgets,omitzero"`
	Phases      Phases            `yaml:"phases" json:"phases"`
}

// Metadata names the pipeline.
type Metadata struct {
	Name string `yaml:"name" json:"name"`
}

// Budgets make a build fail with exit code 6 when they are exceeded; what is left out is not checked.
type Budgets struct {
	// Image is what a cold node may pull for one platform.
	Image Size `yaml:"image,omitempty" json:"image,omitempty"`
	// Edit is what a node that has the tag's present image may pull.
	Edit   Size `yaml:"edit,omitempty" json:"edit,omitempty"`
	Layers int  `yaml:"layers,omitempty" json:"layers,omitempty" jsonschema:"minimum=1,maximum=120"`
}

// Phases are the four parts of the image, bottom first. At least one is there.
type Phases struct {
	Assets *Phase `yaml:"assets,omitempty" json:"assets,omitempty"`
	Base   *Phase `yaml:"base,omitempty" json:"base,omitempty"`
	Code   *Phase `yaml:"code,omitempty" json:"code,omitempty"`
	Server *Phase `yaml:"server,omitempty" json:"server,omitempty"`
}

// Phase is what one team owns.
type Phase struct {
	// Repository holds the phase's own image (default: the pipeline's repository).
	Repository string   `yaml:"repository,omitempty" json:"repository,omitempty"`
	Sources    []Source `yaml:"sources" json:"sources" jsonschema:"minItems=1"`
	// Replaces are globs of paths that the phase may write although a phase below wrote them.
	Replaces []string `yaml:"replaces,omitempty" json:"replaces,omitempty"`
	Split    Split    `yaml:"split,omitempty" json:"split,omitzero"`
	// Compression is auto (default for assets), none, gzip[:1-9] or zstd[:1-11] (default for the others: zstd:3).
	Compression string `yaml:"compression,omitempty" json:"compression,omitempty"`
	Config      Config `yaml:"config,omitempty" json:"config,omitzero"`
}

// Split is how many layers the phase becomes.
type Split struct {
	// Layers to aim for (default 32 for assets, else 1).
	Layers int `yaml:"layers,omitempty" json:"layers,omitempty" jsonschema:"minimum=1,maximum=100"`
	// MaxLayerSize bounds a layer (default 512MiB).
	MaxLayerSize Size `yaml:"maxLayerSize,omitempty" json:"maxLayerSize,omitempty"`
}

// Source is one place that files come from: exactly one of Dir, Apt and Files.
type Source struct {
	Dir   *Dir   `yaml:"dir,omitempty" json:"dir,omitempty"`
	Apt   *Apt   `yaml:"apt,omitempty" json:"apt,omitempty"`
	Files []File `yaml:"files,omitempty" json:"files,omitempty"`
	// Platforms restrict the source; not in the assets phase.
	Platforms []string `yaml:"platforms,omitempty" json:"platforms,omitempty"`
	// Include and Exclude are globs on the source's own paths.
	Include []string `yaml:"include,omitempty" json:"include,omitempty"`
	Exclude []string `yaml:"exclude,omitempty" json:"exclude,omitempty"`
	// Destination is where the source's root goes in the image (default /).
	Destination string `yaml:"destination,omitempty" json:"destination,omitempty"`
	// Owner is UID:GID for everything in the source.
	Owner string `yaml:"owner,omitempty" json:"owner,omitempty"`
}

// Dir is a local folder.
type Dir struct {
	// Path is relative to the pipeline.
	Path string `yaml:"path" json:"path"`
	// AbsoluteLinks keeps symlinks with absolute targets instead of refusing them.
	AbsoluteLinks bool `yaml:"absoluteLinks,omitempty" json:"absoluteLinks,omitempty"`
}

// Apt is Debian packages.
type Apt struct {
	Packages []string `yaml:"packages" json:"packages" jsonschema:"minItems=1"`
	// Dependencies: all (default), none (the named packages only), or only (what they need, without themselves).
	Dependencies string `yaml:"dependencies,omitempty" json:"dependencies,omitempty" jsonschema:"enum=all,enum=none,enum=only"`
	// UsrMerge puts /bin, /lib and so on under /usr, with symlinks (default true).
	UsrMerge *bool `yaml:"usrMerge,omitempty" json:"usrMerge,omitempty"`
}

// File is one file, link or folder: exactly one of Content, From, Link and Dir.
type File struct {
	Path    string  `yaml:"path" json:"path"`
	Content *string `yaml:"content,omitempty" json:"content,omitempty"`
	// From is a file beside the pipeline.
	From string `yaml:"from,omitempty" json:"from,omitempty"`
	// Link is a symlink's target.
	Link string `yaml:"link,omitempty" json:"link,omitempty"`
	Dir  bool   `yaml:"dir,omitempty" json:"dir,omitempty"`
	// Mode is octal, for what is neither 0644 nor 0755.
	Mode string `yaml:"mode,omitempty" json:"mode,omitempty"`
}

// Config is what the image says about running it. Upper phases win.
type Config struct {
	Env        map[string]string `yaml:"env,omitempty" json:"env,omitempty"`
	Entrypoint []string          `yaml:"entrypoint,omitempty" json:"entrypoint,omitempty"`
	Cmd        []string          `yaml:"cmd,omitempty" json:"cmd,omitempty"`
	User       string            `yaml:"user,omitempty" json:"user,omitempty"`
	WorkingDir string            `yaml:"workingDir,omitempty" json:"workingDir,omitempty"`
	Ports      []string          `yaml:"ports,omitempty" json:"ports,omitempty"`
	Labels     map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
	StopSignal string            `yaml:"stopSignal,omitempty" json:"stopSignal,omitempty"`
}
