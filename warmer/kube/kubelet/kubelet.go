// Package kubelet reads from kubelet's configuration how full it lets the disk of images become.
package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// Threshold is how much of a disk has to be free so that kubelet neither evicts pods nor collects images. The larger of both
// counts.
type Threshold struct {
	Bytes   int64
	Percent int // rounded up
}

// configuration is what is read of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1).
type configuration struct {
	Kind                        string            `json:"kind"`
	EvictionHard                map[string]string `json:"evictionHard"`
	EvictionSoft                map[string]string `json:"evictionSoft"`
	MergeDefaultEvictionSetting bool              `json:"mergeDefaultEvictionSettings"`
	ImageGCHighThresholdPercent *int              `json:"imageGCHighThresholdPercent"`
}

// What kubelet takes when its configuration says nothing: see "Node-pressure Eviction" in Kubernetes' documentation.
const (
	defaultImages      = "15%"
	defaultNode        = "10%"
	defaultImageGCHigh = 85
)

// The signals that have to do with the disk that images are on. It is nodefs unless the runtime has a disk of its own.
var signals = map[string]string{"imagefs.available": defaultImages, "nodefs.available": defaultNode}

// maxFile is far more than a configuration has.
const maxFile = 1 << 20

// Read reads configuration files in YAML or JSON, and folders of them as kubelet's --config-dir takes them: of a folder the
// files that end in .conf, by name. What comes later replaces what came before. A file or folder that is not there is an error.
func Read(paths ...string) (Threshold, error) {
	files, err := expand(paths)
	if err != nil {
		return Threshold{}, err
	}
	var c configuration
	for _, file := range files {
		if err := c.read(file); err != nil {
			return Threshold{}, fmt.Errorf("kubelet's configuration %s: %w", file, err)
		}
	}
	t, err := c.threshold()
	if err != nil {
		return Threshold{}, fmt.Errorf("kubelet's configuration %s: %w", strings.Join(files, ", "), err)
	}
	return t, nil
}

func expand(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		entries, err := os.ReadDir(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("kubelet's configuration: %w", err)
		}
		if err != nil { // a file
			files = append(files, path)
			continue
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".conf" {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	return files, nil
}

func (c *configuration) read(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() > maxFile {
		return fmt.Errorf("has %d bytes, more than %d", info.Size(), maxFile)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	c.Kind = ""
	if err := yaml.Unmarshal(raw, c); err != nil { // into what earlier files said
		return err
	}
	if c.Kind != "" && c.Kind != "KubeletConfiguration" {
		return fmt.Errorf("is a %s, not a KubeletConfiguration", c.Kind)
	}
	return nil
}

func (c *configuration) threshold() (Threshold, error) {
	hard := c.EvictionHard
	if len(hard) == 0 || c.MergeDefaultEvictionSetting { // one that is set replaces all defaults
		hard = maps.Clone(signals)
		maps.Copy(hard, c.EvictionHard)
	}
	high := defaultImageGCHigh
	if c.ImageGCHighThresholdPercent != nil {
		high = *c.ImageGCHighThresholdPercent
	}
	if high < 0 || high > 100 {
		return Threshold{}, fmt.Errorf("imageGCHighThresholdPercent: %d is no percentage", high)
	}
	t := Threshold{Percent: 100 - high}
	for _, of := range []map[string]string{hard, c.EvictionSoft} {
		for _, signal := range slices.Sorted(maps.Keys(signals)) {
			text, ok := of[signal]
			if !ok {
				continue
			}
			if err := t.raise(text); err != nil {
				return Threshold{}, fmt.Errorf("%s: %w", signal, err)
			}
		}
	}
	return t, nil
}

// raise takes in one of kubelet's quantities: bytes, or a percentage.
func (t *Threshold) raise(text string) error {
	if number, ok := strings.CutSuffix(text, "%"); ok {
		percent, err := strconv.ParseFloat(number, 64)
		if err != nil || !(percent >= 0 && percent <= 100) {
			return fmt.Errorf("%q is no percentage", text)
		}
		t.Percent = max(t.Percent, int(math.Ceil(percent)))
		return nil
	}
	quantity, err := resource.ParseQuantity(text)
	if err != nil || quantity.Sign() < 0 {
		return fmt.Errorf("%q is neither bytes nor a percentage", text)
	}
	t.Bytes = max(t.Bytes, quantity.Value())
	return nil
}
