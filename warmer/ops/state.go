package ops

import (
	"context"
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
)

// maxImages bounds how many images have a time series of their own.
const maxImages = 200

// State shows an agent's status as metrics, when they are asked for.
type State struct {
	agent Agent
}

var (
	imageWarm      = prometheus.NewDesc(prefix+"image_warm", "1 if a wanted image is warm.", []string{"image", "layers", "platform"}, nil)
	imageError     = prometheus.NewDesc(prefix+"image_error", "1 if the last that was done for a wanted image failed, with the reason.", []string{"image", "layers", "platform", "reason"}, nil)
	imagesWanted   = prometheus.NewDesc(prefix+"images_wanted", "Images that shall be warm.", nil, nil)
	imagesWarm     = prometheus.NewDesc(prefix+"images_warm", "Images that are.", nil, nil)
	wantedBytes    = prometheus.NewDesc(prefix+"wanted_bytes", "Bytes of layers that shall be there; what images share counts once.", []string{"phase"}, nil)
	presentBytes   = prometheus.NewDesc(prefix+"present_bytes", "Bytes of these that are there.", []string{"phase"}, nil)
	diskFree       = prometheus.NewDesc(prefix+"disk_free_bytes", "Free bytes of the container runtime's disk.", nil, nil)
	diskFloor      = prometheus.NewDesc(prefix+"disk_floor_bytes", "Bytes of it that stay free.", nil, nil)
	bandwidthLimit = prometheus.NewDesc(prefix+"bandwidth_limit_bytes_per_second", "The limit in force; 0 is none.", nil, nil)
	players        = prometheus.NewDesc(prefix+"players", "Players on the node, as far as the agent was told.", nil, nil)
)

// NewState registers it.
func NewState(r prometheus.Registerer, a Agent) *State {
	s := &State{agent: a}
	r.MustRegister(s)
	return s
}

// Describe names the metrics.
func (s *State) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{imageWarm, imageError, imagesWanted, imagesWarm, wantedBytes, presentBytes, diskFree, diskFloor, bandwidthLimit, players} {
		to <- d
	}
}

// Collect reads the status.
func (s *State) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	status := s.agent.Status()
	warm, shown := 0, map[[3]string]bool{}
	for i, image := range status.Images {
		is := 0.0
		if image.State == agent.Warm {
			is = 1
			warm++
		}
		if i >= maxImages {
			continue
		}
		ref, layers, platform := label(image.Ref), string(image.Layers), label(image.Platform)
		key := [3]string{ref, layers, platform}
		if shown[key] { // cut to the same length; a series twice would fail the page
			continue
		}
		shown[key] = true
		gauge(imageWarm, is, ref, layers, platform)
		if image.Err != nil {
			gauge(imageError, 1, ref, layers, platform, reason(image.Err))
		}
	}
	gauge(imagesWanted, float64(len(status.Images)))
	gauge(imagesWarm, float64(warm))
	for _, p := range warmer.Phases {
		gauge(wantedBytes, float64(status.Phases[p].Wanted), p)
		gauge(presentBytes, float64(status.Phases[p].Present), p)
	}
	gauge(diskFree, float64(status.DiskFree))
	gauge(diskFloor, float64(status.DiskFloor))
	gauge(bandwidthLimit, float64(status.Bandwidth))
	gauge(players, float64(status.Players))
}

// label makes a label of text that somebody wrote.
func label(s string) string {
	const most = 300
	return strings.ToValidUTF8(s[:min(len(s), most)], "?")
}

// reason is an error as a label.
func reason(err error) string {
	_, damaged := errors.AsType[*warmer.DigestError](err)
	_, full := errors.AsType[*agent.DiskError](err)
	switch {
	case damaged:
		return "damaged"
	case full:
		return "disk"
	case errors.Is(err, warmer.ErrNotFound):
		return "not-found"
	case errors.Is(err, warmer.ErrDenied):
		return "denied"
	case errors.Is(err, warmer.ErrNotSupported):
		return "not-supported"
	case errors.Is(err, warmer.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "other"
}
