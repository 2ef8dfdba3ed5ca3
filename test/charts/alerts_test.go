package charts_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// An alert fires on one set of series and not on the other: an hour and more of them, a sample a minute.
type fired struct{ on, not string }

var alerts = map[string]fired{
	"PitcrewAgentDown": {
		`up{job="pitcrew-warmer", component="agent", node="n"} 1x60 0x60`,
		`up{job="pitcrew-warmer", component="agent", node="n"} 1x120
		 up{job="other", component="agent"} 0x120`,
	},
	"PitcrewControllerDown": {
		`up{job="pitcrew-warmer", component="controller", pod="a"} 0x120`,
		`up{job="pitcrew-warmer", component="controller", pod="a"} 0x120
		 up{job="pitcrew-warmer", component="controller", pod="b"} 1x120`,
	},
	"PitcrewImageFailed": {
		`pitcrew_warmer_image_error{node="n", image="i", layers="all", platform="", reason="denied"} 1x120`,
		`pitcrew_warmer_image_warm{node="n", image="i", layers="all"} 1x120`,
	},
	"PitcrewImageNotWarm": {
		`pitcrew_warmer_image_warm{node="n", image="i", layers="all"} 0x120`,
		`pitcrew_warmer_image_warm{node="n", image="i", layers="all"} 1x120`,
	},
	"PitcrewColdStarts": {
		`pitcrew_warmer_container_starts_total{result="hit"} 0+8x120
		 pitcrew_warmer_container_starts_total{result="miss"} 0+2x120`,
		`pitcrew_warmer_container_starts_total{result="hit"} 0+99x120
		 pitcrew_warmer_container_starts_total{result="miss"} 0+1x120`,
	},
	"PitcrewImagesLost": {
		`pitcrew_warmer_images_lost_total{node="n"} 0x100 1x20`,
		`pitcrew_warmer_images_lost_total{node="n"} 5x120`,
	},
	"PitcrewDiskFull": {
		`pitcrew_warmer_disk_free_bytes{node="n", pod="p"} 104x120
		 pitcrew_warmer_disk_floor_bytes{node="n", pod="p"} 100x120`,
		`pitcrew_warmer_disk_free_bytes{node="n", pod="p"} 106x120
		 pitcrew_warmer_disk_floor_bytes{node="n", pod="p"} 100x120`,
	},
	"PitcrewRegistryUnsteady": {
		`pitcrew_warmer_registry_retries_total{node="a", reason="503"} 0+20x120
		 pitcrew_warmer_registry_retries_total{node="b", reason="503"} 0+20x120`,
		`pitcrew_warmer_registry_retries_total{node="a", reason="503"} 0+20x120`,
	},
	"PitcrewPlayersCutOff": {
		`pitcrew_sidecar_players_cut_off_total{namespace="g", pod="p"} 0x110 3x10`,
		`pitcrew_sidecar_players_cut_off_total{namespace="g", pod="p"} 0x120`,
	},
	"PitcrewGameServerSilent": {
		`pitcrew_sidecar_health_withheld_total{namespace="g", pod="p", reason="silent"} 0x110 0+5x10`,
		`pitcrew_sidecar_health_withheld_total{namespace="g", pod="p", reason="silent"} 7x120`,
	},
	"PitcrewGameServerNotReady": {
		`pitcrew_sidecar_phase{namespace="g", pod="p", phase="booting"} 1x120`,
		`pitcrew_sidecar_phase{namespace="g", pod="p", phase="booting"} 0x120
		 pitcrew_sidecar_phase{namespace="g", pod="p", phase="waiting"} 1x120`,
	},
	"PitcrewAllocatedButEmpty": {
		`pitcrew_sidecar_agones_state{namespace="g", pod="p", container="s", state="Allocated"} 1x120
		 pitcrew_sidecar_players{namespace="g", pod="p", container="s"} 0x120`,
		`pitcrew_sidecar_agones_state{namespace="g", pod="p", state="Allocated"} 1x120
		 pitcrew_sidecar_players{namespace="g", pod="p"} 2x120
		 pitcrew_sidecar_agones_state{namespace="g", pod="q", state="Allocated"} 0x120
		 pitcrew_sidecar_players{namespace="g", pod="q"} 0x120`,
	},
	"PitcrewPlayersDisagree": {
		`pitcrew_sidecar_players_disagreement_seconds{namespace="g", pod="p"} 0+10x120`,
		`pitcrew_sidecar_players_disagreement_seconds{namespace="g", pod="p"} 4x120`,
	},
	"PitcrewDatagramsDropped": {
		`pitcrew_sidecar_socket_drops_total{namespace="g", pod="p"} 0+1000x120`,
		`pitcrew_sidecar_socket_drops_total{namespace="g", pod="p"} 0+100x120`,
	},
}

func TestAlertsFireWhenTheyShall(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(dir(pitcrew), "files/alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	tried := map[string]bool{}
	for _, g := range groups(t, raw).Groups {
		for _, r := range g.Rules {
			tried[r.Alert] = true
			c, ok := alerts[r.Alert]
			if !ok {
				t.Errorf("%s is not tried", r.Alert)
				continue
			}
			if n := results(t, engine, r.Expr, c.on); n == 0 {
				t.Errorf("%s does not fire on\n%s", r.Alert, c.on)
			}
			if n := results(t, engine, r.Expr, c.not); n != 0 {
				t.Errorf("%s fires on\n%s", r.Alert, c.not)
			}
		}
	}
	if len(tried) != len(alerts) {
		t.Errorf("alerts are %v, tried are %v", slices.Sorted(maps.Keys(tried)), slices.Sorted(maps.Keys(alerts)))
	}
}

// results are how many series an expression has after two hours.
func results(t *testing.T, engine *promql.Engine, expr, series string) int {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n"+series)
	q, err := engine.NewInstantQuery(t.Context(), storage, nil, expr, time.Unix(0, 0).Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	v, err := q.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatal(err)
	}
	return len(v)
}
