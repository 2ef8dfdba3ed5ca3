package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	ecr "github.com/awslabs/amazon-ecr-credential-helper/ecr-login"
)

// Credentials say where credentials are. They are looked up anew whenever a registry wants them, so that what changes on
// the disk or in the cluster is seen. The zero value has none but those of Amazon.
type Credentials struct {
	// Files are docker config.json files; one that is not there is passed over. Credential helpers that they name are run.
	Files []string
	// PullSecrets gives the contents of those secrets of type kubernetes.io/dockerconfigjson that are for a repository; it
	// may be nil. The error is about others that could not be read. Credential helpers that they name are not run: whoever
	// can write a secret shall not start programs on the node.
	PullSecrets func(ctx context.Context, repository string) ([][]byte, error)
	// ECR gives the login of an Amazon ECR registry when nothing else is known for it; nil asks Amazon with the node's role.
	ECR func(registry string) (username, password string, err error)
	// Log is told of what cannot be read; nil discards it.
	Log *slog.Logger
}

// Find gives the credentials for a repository of a registry in the order in which to try them: pull secrets, files, Amazon.
// The error is about pull secrets that could not be read: it matters if what was found is refused.
func (c Credentials) Find(ctx context.Context, registry, repository string) ([]Credential, error) {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var found []Credential
	var unread error
	if c.PullSecrets != nil {
		var secrets [][]byte
		secrets, unread = c.PullSecrets(ctx, repository)
		if unread != nil {
			log.Warn("pull secrets could not be read", "repository", repository, "err", unread)
		}
		for _, raw := range secrets {
			config, err := ParseConfig(raw)
			if err != nil {
				log.Warn("pull secret ignored", "err", err)
				continue
			}
			found = append(found, config.Find(registry, repository)...)
		}
	}
	for _, file := range c.Files {
		creds, err := inFile(ctx, file, registry, repository)
		if err != nil {
			log.Warn("credentials ignored", "file", file, "registry", registry, "err", err)
		}
		found = append(found, creds...)
	}
	if len(found) == 0 && isECR(registry) {
		cred, err := c.ecr(registry)
		if err != nil {
			log.Warn("no login from Amazon", "registry", registry, "err", err)
		} else {
			found = append(found, cred)
		}
	}
	return slices.Compact(found), unread
}

func inFile(ctx context.Context, file, registry, repository string) ([]Credential, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("docker config: %w", err)
	}
	config, err := ParseConfig(raw)
	if err != nil {
		return nil, err
	}
	found := config.Find(registry, repository)
	helper, ok := config.helpers[registry]
	if !ok {
		helper = config.store
	}
	if helper == "" {
		return found, nil
	}
	cred, err := runHelper(ctx, helper, registry)
	if err != nil || cred == (Credential{}) {
		return found, err
	}
	return append([]Credential{cred}, found...), nil
}

var helperName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

// helperTimeout bounds a credential helper.
const helperTimeout = 30 * time.Second

// runHelper speaks the protocol of docker-credential-helpers.
func runHelper(ctx context.Context, name, registry string) (Credential, error) {
	if !helperName.MatchString(name) {
		return Credential{}, fmt.Errorf("credential helper %q: not a program's name", name)
	}
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+name, "get")
	server := registry
	if canonical(registry) == "docker.io" {
		server = "https://index.docker.io/v1/"
	}
	cmd.Stdin = strings.NewReader(server)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		if strings.Contains(string(out), "credentials not found") {
			return Credential{}, nil
		}
		return Credential{}, fmt.Errorf("credential helper %s: %w", name, err)
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return Credential{}, fmt.Errorf("credential helper %s: %w", name, hideContent(err))
	}
	if answer.Username == "<token>" {
		return Credential{IdentityToken: answer.Secret}, nil
	}
	return Credential{Username: answer.Username, Password: answer.Secret}, nil
}

func (c Credentials) ecr(registry string) (Credential, error) {
	login := c.ECR
	if login == nil {
		login = ecr.NewECRHelper(ecr.WithLogger(io.Discard)).Get // what fails is returned, too
	}
	user, password, err := login(registry)
	return Credential{Username: user, Password: password}, err
}

var ecrHost = regexp.MustCompile(`^[0-9]+\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$`)

func isECR(registry string) bool { return ecrHost.MatchString(registry) }
