package pipeline

// Source is one place that files come from: exactly one of dir, archive, bucket, git, apt, aptSource, image and files.
type Source struct {
	Dir     *Dir     `yaml:"dir,omitempty"`
	Archive *Archive `yaml:"archive,omitempty"`
	Bucket  *Bucket  `yaml:"bucket,omitempty"`
	Git     *Git     `yaml:"git,omitempty"`
	Apt     *Apt     `yaml:"apt,omitempty"`
	// AptSource is the source code of a Debian package.
	AptSource *AptSource `yaml:"aptSource,omitempty"`
	Image     *Image     `yaml:"image,omitempty"`
	// Files are written in the pipeline or taken from beside it.
	Files []File `yaml:"files,omitempty" jsonschema:"minItems=1"`
	// Platforms restrict the source to some of the pipeline's platforms; not in the assets phase.
	Platforms []string `yaml:"platforms,omitempty" jsonschema:"minItems=1,uniqueItems=true,enum=linux/amd64,enum=linux/arm64"`
	// Include are globs on the source's own paths (default: everything).
	Include []string `yaml:"include,omitempty"`
	// Exclude are globs on the source's own paths; they win over include.
	Exclude []string `yaml:"exclude,omitempty"`
	// Destination is where the source's root goes in the image (default /).
	Destination string `yaml:"destination,omitempty"`
	// Owner is UID:GID for everything in the source (default: what the source says, 0:0 for dir and files).
	Owner string `yaml:"owner,omitempty" jsonschema:"pattern=^[0-9]+:[0-9]+$"`
}

// Dir is a local folder.
type Dir struct {
	// Path is relative to the pipeline's folder. Variables are expanded.
	Path string `yaml:"path"`
	// AbsoluteLinks keeps symlinks with absolute targets instead of refusing them.
	AbsoluteLinks bool `yaml:"absoluteLinks,omitempty"`
}

// Archive is a tar or zip file: exactly one of path, parts and url.
type Archive struct {
	// Path is relative to the pipeline's folder. Variables are expanded.
	Path string `yaml:"path,omitempty"`
	// Parts are globs of the pieces of a split archive, relative to the pipeline's folder or in an object store, joined in
	// natural order. Variables are expanded.
	Parts []string `yaml:"parts,omitempty" jsonschema:"minItems=1"`
	// URL is where to download it: https, http from this machine, or an object in a store. Variables are expanded.
	URL string `yaml:"url,omitempty"`
	// SHA256 is the archive's digest in hexadecimal; an https url needs one.
	SHA256 string `yaml:"sha256,omitempty" jsonschema:"pattern=^[0-9a-f]{64}$"`
	// Format is needed only if the archive's first bytes do not tell.
	Format string `yaml:"format,omitempty" jsonschema:"enum=tar,enum=tar.gz,enum=tar.zst,enum=tar.xz,enum=tar.bz2,enum=zip"`
	// StripComponents drops so many leading folders of every path.
	StripComponents int `yaml:"stripComponents,omitempty" jsonschema:"minimum=0,maximum=64"`
}

// Bucket is objects in a store.
type Bucket struct {
	// URL is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, azblob://CONTAINER/PREFIX or file:///FOLDER, with options behind a
	// question mark. Variables are expanded.
	URL string `yaml:"url"`
}

// Git is one commit of a repository.
type Git struct {
	// URL is https, ssh (also as git@HOST:PATH), or http from this machine.
	URL string `yaml:"url"`
	// Ref is a branch, a tag or a commit's 40 hexadecimal digits.
	Ref string `yaml:"ref"`
	// Folder is the part of the repository to take (default: all of it).
	Folder string `yaml:"folder,omitempty"`
}

// Apt is Debian packages.
type Apt struct {
	// Packages are names, each with =VERSION behind it if it must be that version.
	Packages []string `yaml:"packages" jsonschema:"minItems=1"`
	// Dependencies: all (default), none (the named packages only), or only (what they need, without themselves).
	Dependencies string `yaml:"dependencies,omitempty" jsonschema:"enum=all,enum=none,enum=only"`
	// Recommends adds recommended packages to what the named ones need.
	Recommends bool `yaml:"recommends,omitempty"`
	// Exclude are packages that are taken to be there already, with what only they need.
	Exclude []string `yaml:"exclude,omitempty"`
	// Mirrors are where packages come from (default: the machine's own apt sources).
	Mirrors []Mirror `yaml:"mirrors,omitempty" jsonschema:"minItems=1"`
	// UsrMerge puts /bin, /lib and so on under /usr, with symlinks (default true).
	UsrMerge *bool `yaml:"usrMerge,omitempty"`
}

// AptSource is a Debian source package: what its authors published, and, unless upstream is asked for, Debian's packaging in
// debian/. Patches are not applied.
type AptSource struct {
	// Package is the source package's name.
	Package string `yaml:"package"`
	// Version is the version that it must have (default: the newest that the mirrors have).
	Version string `yaml:"version,omitempty"`
	// Upstream leaves out Debian's own part.
	Upstream bool `yaml:"upstream,omitempty"`
	// Mirrors are where it comes from (default: the machine's own apt sources).
	Mirrors []Mirror `yaml:"mirrors,omitempty" jsonschema:"minItems=1"`
}

// Mirror is a repository of packages, in the words of sources.list(5).
type Mirror struct {
	// URI is such as http://deb.debian.org/debian.
	URI string `yaml:"uri"`
	// Suites are such as bookworm; one that ends in a slash is a folder and has no components.
	Suites []string `yaml:"suites" jsonschema:"minItems=1"`
	// Components are such as main.
	Components []string `yaml:"components,omitempty"`
	// SignedBy is a keyring, absolute or relative to the pipeline's folder (default: the machine's apt keys).
	SignedBy string `yaml:"signedBy,omitempty"`
}

// Image is an image that exists already; its configuration is inherited.
type Image struct {
	// Ref is a full reference with a tag or digest, such as docker.io/library/debian:bookworm-slim. Variables are
	// expanded.
	Ref string `yaml:"ref"`
}

// File is one file, link or folder: exactly one of content, from, link and dir.
type File struct {
	// Path is absolute, below the source's destination.
	Path string `yaml:"path"`
	// Content is the file's text.
	Content *string `yaml:"content,omitempty"`
	// From is a file in the pipeline's folder or below it. Variables are expanded.
	From string `yaml:"from,omitempty"`
	// Link is a symlink's target.
	Link string `yaml:"link,omitempty"`
	// Dir asks for a folder.
	Dir bool `yaml:"dir,omitempty"`
	// Mode is octal in quotes (default 0755 for folders and executable files, else 0644). Links have none.
	Mode string `yaml:"mode,omitempty" jsonschema:"pattern=^0?[0-7]{3\\,4}$"`
}
