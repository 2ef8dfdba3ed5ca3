package compile

import (
	"context"
	"io"
	"log/slog"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// Options are what a pipeline and its caller can say about a command. Command, Outputs, Host, Store and CacheDir are
// required. They may be different ones for each platform.
type Options struct {
	// Name is the command's place in the pipeline, for messages: "phases.code.build".
	Name string
	// Phase is the phase it belongs to, for hints.
	Phase builder.Phase
	// Sources are what the command works on.
	Sources []Input
	// Command is a program and its arguments. A program without a slash is looked for in PATH, another is relative to
	// WorkingDir.
	Command []string
	// WorkingDir is the folder that the command runs in, below the scratch folder; it is made if need be.
	WorkingDir string
	// Env are further variables.
	Env map[string]string
	// Outputs are what is kept of what the command made.
	Outputs []Output
	// Toolchain are commands that say which tools are used: what they print is part of the input digest.
	Toolchain [][]string
	// Cross says that the tools are a cross toolchain: this machine, or the runner's, can make files for platforms other
	// than its own.
	Cross bool
	// Host is this machine's platform.
	Host v1.Platform
	// Timeout ends a command that takes longer; 0 means never.
	Timeout time.Duration
	// Created is SOURCE_DATE_EPOCH.
	Created time.Time
	// Jobs is how many processors the command may use.
	Jobs int
	// Limits bound the outputs.
	Limits pack.Limits
	// Store keeps the outputs.
	Store *pack.Store
	// CacheDir is where scratch folders and logs are, in compile/. It is absolute. Several processes can share it.
	CacheDir string
	// Runner runs the command; nil: this machine does.
	Runner Runner
	// Log is told what takes time, and of outputs that are not reproducible; nil discards that.
	Log *slog.Logger
}

// Input is a source with its place in the scratch folder.
type Input struct {
	builder.Source
	// Origin names the source in messages.
	Origin string
	// Platforms are those that it is for; none: all.
	Platforms        []v1.Platform
	Include, Exclude []string
	// Destination is the folder that the source's root becomes; "/" is the scratch folder.
	Destination string
}

// Output is a file or folder that the command makes.
type Output struct {
	// Path is below the scratch folder.
	Path string
	// Destination is the folder in the image that a folder's contents, or a file, go to.
	Destination string
	// Include and Exclude are globs on a folder's own paths, as those of sources.
	Include, Exclude []string
}

// Job is a command that is to be run.
type Job struct {
	// Work is the folder with the sources; it is an absolute path. The outputs are in it when the command is over.
	Work string
	// Dir is the folder to run in, relative to Work.
	Dir string
	// Command is the program and its arguments.
	Command []string
	// Env are all its variables, NAME=VALUE. Paths in it are those of this machine.
	Env map[string]string
	// Outputs are the paths below Work that somebody will look at.
	Outputs []string
	// Platform is what it makes files for.
	Platform v1.Platform
	// Cross says that its tools are a cross toolchain: it runs on the runner's own platform.
	Cross bool
	// Tools is what the runner said of its tools.
	Tools builder.Pin
	// Log takes what the command prints.
	Log io.Writer
}

// Runner runs commands somewhere else than on this machine.
type Runner interface {
	// Run runs the command to its end. When it returns, nothing of it can touch the work folder any more. A command that
	// fails is an error of kind Input; the text says only how it ended.
	Run(ctx context.Context, job Job) error
	// Tools is the image with the tools: what the command makes depends on it and on the job. It is part of the input
	// digest.
	Tools(ctx context.Context) (builder.Pin, error)
}

func (o *Options) log() *slog.Logger {
	if o.Log != nil {
		return o.Log
	}
	return slog.New(slog.DiscardHandler)
}
