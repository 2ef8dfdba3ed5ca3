package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

// Metrics are a sidecar's; docs/metrics.md says what each is good for.
type Metrics struct {
	up, players, playersMax, seats, disagree, queued prometheus.Gauge
	phase, agones, match                             *prometheus.GaugeVec

	races, cutOff, pings, joins, leaves, drops prometheus.Counter
	withheld, lines, queryFailures             *prometheus.CounterVec
	phases, calls, reopened                    *prometheus.CounterVec
	query, race                                prometheus.Histogram
	callSeconds                                *prometheus.HistogramVec

	list      string
	was       sidecar.State
	raceBegan time.Time
	dropped   int64
}

const prefix = "pitcrew_sidecar_"

// NewMetrics registers them. list is the name of the GameServer's list of players.
func NewMetrics(r prometheus.Registerer, list string) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
		r.MustRegister(g)
		return g
	}
	gauges := func(name, help, label string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, []string{label})
		r.MustRegister(g)
		return g
	}
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
	m := &Metrics{
		list: list,

		up:         gauge("game_up", "1 while the game serves players on its port."),
		players:    gauge("players", "Players that the game has validated."),
		playersMax: gauge("players_capacity", "Capacity of the GameServer's list of players."),
		seats:      gauge("reservations", "Values that allocations put into the list and nobody has come for."),
		disagree:   gauge("players_disagreement_seconds", "For how long the game's count and its log have named different numbers of players."),
		queued:     gauge("socket_queued_bytes", "Bytes that wait in the receive queue of the game's socket."),
		phase:      gauges("phase", "1 for the phase that the server is in.", "phase"),
		agones:     gauges("agones_state", "1 for the state that Agones last showed.", "state"),
		match:      gauges("match", "1 for what the players are at.", "match"),

		races:  counter("races_total", "Matches that came to their end."),
		cutOff: counter("players_cut_off_total", "Players who were in a match when their server ended."),
		pings:  counter("health_pings_total", "Health pings that were sent."),
		joins:  counter("player_joins_total", "Players who came."),
		leaves: counter("player_leaves_total", "Players who left."),
		drops:  counter("socket_drops_total", "Datagrams that the kernel dropped at the game's socket."),

		withheld:      counters("health_withheld_total", "Health pings that were due and not earned.", "reason"),
		lines:         counters("log_lines_total", "Lines of the game's log.", "understood"),
		queryFailures: counters("query_failures_total", "Questions that the game did not answer well.", "kind"),
		phases:        counters("phases_total", "Phases entered, and why.", "phase", "reason"),
		calls:         counters("sdk_requests_total", "Calls of the SDK server.", "rpc", "code"),
		reopened:      counters("sdk_stream_restarts_total", "Streams that had to be opened again.", "stream"),
		query:         prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + "query_seconds", Help: "Time until the game answered a question.", Buckets: []float64{.001, .01, .1, 1}}),
		race:          prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + "race_seconds", Help: "Duration of matches.", Buckets: []float64{30, 60, 120, 300, 600, 1800}}),
		callSeconds:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + "sdk_request_seconds", Help: "Time of calls of the SDK server.", Buckets: []float64{.001, .01, .1, 1, 3}}, []string{"rpc"}),
	}
	r.MustRegister(m.query, m.race, m.callSeconds)
	return m
}

// Did takes in an action and the state after it.
func (m *Metrics) Did(s sidecar.State, a sidecar.Action) {
	switch x := a.(type) {
	case sidecar.Ping:
		m.pings.Inc()
	case sidecar.Withhold:
		m.withheld.WithLabelValues(x.Reason).Inc()
	case sidecar.Enter:
		m.phases.WithLabelValues(string(x.To), reasonLabel(x)).Inc()
		m.cutOff.Add(float64(x.CutOff))
	}
	m.state(s)
}

// reasonLabel keeps what a caller wrote out of the labels.
func reasonLabel(x sidecar.Enter) string {
	if x.To == sidecar.Draining {
		return "drain"
	}
	return x.Reason
}

func (m *Metrics) state(s sidecar.State) {
	one(m.phase, string(m.was.Phase), string(s.Phase))
	one(m.match, string(m.was.Match), string(s.Match))
	m.up.Set(boolean(s.Serving))
	m.players.Set(float64(s.PlayersThere()))
	m.seats.Set(float64(len(s.Reservations)))
	m.races.Add(float64(s.Races - m.was.Races))
	m.disagree.Set(0)
	if at, _ := s.LastSign(); !s.Disagree.IsZero() {
		m.disagree.Set(max(0, at.Sub(s.Disagree).Seconds()))
	}
	if s.Agones != nil {
		var was string
		if m.was.Agones != nil {
			was = string(m.was.Agones.State)
		}
		one(m.agones, was, string(s.Agones.State))
		m.playersMax.Set(float64(s.Agones.Lists[m.list].Capacity))
	}
	if delta := s.PlayersThere() - m.was.PlayersThere(); delta > 0 {
		m.joins.Add(float64(delta))
	} else {
		m.leaves.Add(float64(-delta))
	}
	m.timeRace(s)
	m.was = s
}

func (m *Metrics) timeRace(s sidecar.State) {
	if at, _ := s.LastSign(); s.Match == sidecar.Racing && m.was.Match != sidecar.Racing {
		m.raceBegan = at
	} else if s.Match != sidecar.Racing && m.was.Match == sidecar.Racing && !m.raceBegan.IsZero() {
		m.race.Observe(at.Sub(m.raceBegan).Seconds())
	}
}

func one(v *prometheus.GaugeVec, was, is string) {
	if was != "" && was != is {
		v.WithLabelValues(was).Set(0)
	}
	if is != "" {
		v.WithLabelValues(is).Set(1)
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Line counts a line of the log.
func (m *Metrics) Line(understood bool) {
	label := "no"
	if understood {
		label = "yes"
	}
	m.lines.WithLabelValues(label).Inc()
}

// Asked counts a question to the game.
func (m *Metrics) Asked(took time.Duration, err error) {
	if err != nil {
		m.queryFailures.WithLabelValues("no-answer").Inc()
		return
	}
	m.query.Observe(took.Seconds())
}

// Socket shows what the kernel says.
func (m *Metrics) Socket(s socket.Socket) {
	m.queued.Set(float64(s.Queued))
	if s.Drops > m.dropped {
		m.drops.Add(float64(s.Drops - m.dropped))
	}
	m.dropped = s.Drops
}

// Called counts a call of the SDK server.
func (m *Metrics) Called(rpc, code string, took time.Duration) {
	m.calls.WithLabelValues(rpc, code).Inc()
	m.callSeconds.WithLabelValues(rpc).Observe(took.Seconds())
}

// Reopened counts a stream that had to be opened again.
func (m *Metrics) Reopened(stream string) { m.reopened.WithLabelValues(stream).Inc() }
