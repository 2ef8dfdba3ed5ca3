package hosts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds what is read of a configuration file or a certificate.
const maxFile = 1 << 20

// Load gives the hosts to ask for images of a registry (docker.io, registry.example:5000), in order, according to the
// folder; "" means that there is none. The result has at least one host.
//
// The folder's entries for registry.example:5000 are, the first that exists, registry.example_5000_,
// registry.example:5000 and _default.
func Load(folder, registry string, plainHTTP bool) ([]Host, error) {
	if registry == "" || strings.ContainsAny(registry, `/\`) || strings.HasPrefix(registry, ".") {
		return nil, fmt.Errorf("registry %q: not a host", registry)
	}
	if folder == "" {
		return []Host{Default(registry, plainHTTP)}, nil
	}
	dir, err := entry(folder, registry)
	if err != nil {
		return nil, err
	}
	if dir == "" {
		return []Host{Default(registry, plainHTTP)}, nil
	}
	name := filepath.Join(dir, "hosts.toml")
	raw, err := readFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(raw) == 0 {
		h, err := certificates(dir)
		if err != nil {
			return nil, err
		}
		return []Host{fillIn(h, registry, plainHTTP)}, nil
	}
	hosts, err := Parse(raw, registry, plainHTTP, func(file string) ([]byte, error) {
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		return readFile(file)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return hosts, nil
}

// entry is the folder's entry for the registry, or "".
func entry(folder, registry string) (string, error) {
	names := []string{registry, "_default"}
	if i := strings.LastIndex(registry, ":"); i > 0 {
		names = []string{registry[:i] + "_" + registry[i+1:] + "_", registry, "_default"}
	}
	for _, name := range names {
		dir := filepath.Join(folder, name)
		if _, err := os.Stat(dir); err == nil {
			return dir, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("registry configuration: %w", err)
		}
	}
	return "", nil
}

// certificates reads Docker's layout: NAME.crt are authorities, NAME.cert with NAME.key client certificates.
func certificates(dir string) (Host, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return Host{}, fmt.Errorf("registry configuration: %w", err)
	}
	var h Host
	for _, f := range files {
		file := filepath.Join(dir, f.Name())
		switch {
		case f.IsDir():
		case strings.HasSuffix(file, ".crt"):
			pem, err := readFile(file)
			if err != nil {
				return Host{}, err
			}
			h.CAs = append(h.CAs, pem)
		case strings.HasSuffix(file, ".cert"):
			pair, err := dockerPair(file)
			if err != nil {
				return Host{}, err
			}
			h.Client = append(h.Client, pair)
		}
	}
	return h, nil
}

func dockerPair(certFile string) (KeyPair, error) {
	cert, err := readFile(certFile)
	if err != nil {
		return KeyPair{}, err
	}
	key, err := readFile(strings.TrimSuffix(certFile, ".cert") + ".key")
	if errors.Is(err, fs.ErrNotExist) {
		key, err = cert, nil
	}
	return KeyPair{Cert: cert, Key: key}, err
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("registry configuration: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("registry configuration: %w", err)
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("registry configuration: %s has more than %d bytes", name, maxFile)
	}
	return raw, nil
}
