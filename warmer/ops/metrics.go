package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
)

const prefix = "pitcrew_warmer_"

// Metrics are a warmer's counters; docs/metrics.md says what each is good for. It is an [agent.Observer].
type Metrics struct {
	pulled, reused, starts, actions, retries *prometheus.CounterVec
	saved, lost, throttled                   prometheus.Counter
	timeToWarm                               prometheus.Histogram
	fetch, unpack                            *prometheus.HistogramVec
}

var _ agent.Observer = (*Metrics)(nil)

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
		r.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	histograms := func(name, help string, buckets ...float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, []string{"phase"})
		r.MustRegister(h)
		return h
	}
	m := &Metrics{
		pulled:    counters("pulled_bytes_total", "Bytes of layers that came from registries.", "phase"),
		reused:    counters("reused_bytes_total", "Bytes of layers of images that became warm, which were there already.", "phase"),
		starts:    counters("container_starts_total", "Containers that were made from a wanted image: hit if it was warm.", "result"),
		saved:     counter("container_start_saved_bytes_total", "Bytes that containers did not have to wait for, because their image was warm."),
		actions:   counters("actions_total", "Steps that the agent took.", "action", "result"),
		retries:   counters("registry_retries_total", "Requests to registries that failed and were made again.", "reason"),
		throttled: counter("registry_throttled_seconds_total", "Time for which transfers waited for bandwidth."),
		lost:      counter("images_lost_total", "Warm images of which somebody else removed a part."),
		timeToWarm: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "time_to_warm_seconds", Help: "Time from when an image was wanted until it was warm.", Buckets: []float64{.1, 1, 5, 15, 60, 300, 1800},
		}),
		fetch:  histograms("fetch_seconds", "Time to fetch a layer.", .1, 1, 5, 15, 60, 300),
		unpack: histograms("unpack_seconds", "Time to unpack a layer.", .1, 1, 5, 15, 60),
	}
	r.MustRegister(m.timeToWarm)
	for _, p := range warmer.Phases { // rates need a zero to begin with
		m.pulled.WithLabelValues(p)
		m.reused.WithLabelValues(p)
	}
	for _, result := range []string{"hit", "miss"} {
		m.starts.WithLabelValues(result)
	}
	return m
}

// Done counts an action.
func (m *Metrics) Done(a warmer.Action, phase string, bytes int64, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = reason(err)
	}
	m.actions.WithLabelValues(string(a.Do), result).Inc()
	switch a.Do {
	case warmer.Fetch:
		m.pulled.WithLabelValues(phase).Add(float64(bytes))
		if err == nil {
			m.fetch.WithLabelValues(phase).Observe(took.Seconds())
		}
	case warmer.Unpack:
		if err == nil {
			m.unpack.WithLabelValues(phase).Observe(took.Seconds())
		}
	case warmer.Resolve, warmer.Transfer, warmer.Interrupt, warmer.Keep, warmer.Unpin, warmer.Evict, warmer.Wait:
	}
}

// Warm counts an image that became warm.
func (m *Metrics) Warm(_ string, took time.Duration, reused map[string]int64) {
	m.timeToWarm.Observe(took.Seconds())
	for phase, n := range reused {
		m.reused.WithLabelValues(phase).Add(float64(n))
	}
}

// Lost counts an image that is not warm any more.
func (m *Metrics) Lost(string) { m.lost.Inc() }

// Started counts a container.
func (m *Metrics) Started(_ string, hit bool, bytes int64) {
	result := "miss"
	if hit {
		result = "hit"
	}
	m.starts.WithLabelValues(result).Inc()
	m.saved.Add(float64(bytes))
}

// Retried counts a request that is made again; reason is from a small set.
func (m *Metrics) Retried(_, reason string) { m.retries.WithLabelValues(reason).Inc() }

// Throttled counts the time for which a transfer waited.
func (m *Metrics) Throttled(d time.Duration) { m.throttled.Add(d.Seconds()) }
