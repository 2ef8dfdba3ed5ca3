package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Beside a match: what a game server would notice of a pull. It wakes up for each tick of its simulation, now and then reads
// what it has not in memory yet, and writes something that has to last.
const (
	tick       = time.Second / 120
	readEvery  = 20 * time.Millisecond
	writeEvery = 100 * time.Millisecond
	besideTime = 20 * time.Second
	onDisk     = 256 << 20
	block      = 4096
)

// beside are the latencies of one time, in milliseconds.
type beside struct {
	name                 string
	ticks, reads, writes []float64
}

// playing is the pace of the chart's values while players are on the node.
func playing(n *node, ref string) []string {
	return append(warmer(n, ref), "--bandwidth", "10MiB", "--fetches", "1", "--unpacks", "1")
}

// neighbours measures a machine on which nothing is pulled, and clients that pull again and again.
func (n *node) neighbours(ctx context.Context, ref string) ([]beside, error) {
	file, err := n.lay()
	if err != nil {
		return nil, err
	}
	var out []beside
	for _, p := range []struct {
		name string
		pull client
	}{
		{"nothing", nil},
		{"pitcrew warmer, at the pace beside players", playing},
		{"pitcrew warmer, without a limit", warmer},
		{"ctr", ctr},
	} {
		if err := n.clear(ctx); err != nil {
			return nil, err
		}
		b, err := n.besides(ctx, p.pull, ref, file)
		if err != nil {
			return nil, fmt.Errorf("beside %s: %w", p.name, err)
		}
		b.name = p.name
		out = append(out, b)
	}
	return out, nil
}

// lay makes a file that is not in memory.
func (n *node) lay() (string, error) {
	path := filepath.Join(n.dir, "game")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	for range onDisk / len(chunk) {
		_, _ = rand.Read(chunk) // never fails
		if _, err := f.Write(chunk); err != nil {
			return "", err
		}
	}
	return path, f.Sync()
}

// besides pulls over and over while the latencies are measured.
func (n *node) besides(ctx context.Context, pull client, ref, file string) (beside, error) {
	var b beside
	timed, cancel := context.WithTimeout(ctx, besideTime)
	defer cancel()
	var wg sync.WaitGroup
	var faults [3]error
	wg.Go(func() { b.ticks = ticks(timed) })
	wg.Go(func() { b.reads, faults[0] = reads(timed, file) })
	wg.Go(func() { b.writes, faults[1] = writes(timed, file+".log") })
	for pull != nil && timed.Err() == nil && faults[2] == nil {
		faults[2] = n.again(timed, pull(n, ref))
	}
	wg.Wait()
	return b, errors.Join(faults[:]...)
}

// again is one pull; that its time is up is no fault.
func (n *node) again(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CONTAINERD_ADDRESS="+n.d.Socket, "CONTAINERD_NAMESPACE=k8s.io")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%v: %w\n%s", args, err, tail(string(out)))
	}
	return n.clear(context.WithoutCancel(ctx))
}

// ticks is by how much a simulation comes too late.
func ticks(ctx context.Context) (late []float64) {
	for next := time.Now().Add(tick); ctx.Err() == nil; next = next.Add(tick) {
		time.Sleep(time.Until(next))
		now := time.Now()
		late = append(late, ms(now.Sub(next)))
		if now.After(next.Add(tick)) { // the ticks between are lost
			next = now
		}
	}
	return late
}

// reads are of blocks that come from the disk.
func reads(ctx context.Context, file string) (took []float64, err error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buffer := aligned()
	for ctx.Err() == nil {
		at, err := rand.Int(rand.Reader, big.NewInt(onDisk/block))
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if _, err := f.ReadAt(buffer, at.Int64()*block); err != nil {
			return nil, err
		}
		took = append(took, ms(time.Since(began)))
		time.Sleep(readEvery)
	}
	return took, nil
}

// aligned is a buffer for one block that the disk can be read into.
func aligned() []byte {
	raw := make([]byte, 2*block)
	skip := block - int(uintptr(unsafe.Pointer(&raw[0]))%block)
	return raw[skip : skip+block]
}

// writes are of lines that have to last.
func writes(ctx context.Context, file string) (took []float64, err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for ctx.Err() == nil {
		began := time.Now()
		if _, err := f.WriteString("a line of what has happened\n"); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, ms(time.Since(began)))
		time.Sleep(writeEvery)
	}
	return took, nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

// percentile is the value below which p percent are.
func percentile(v []float64, p float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return v[min(len(v)-1, int(p/100*float64(len(v))))]
}
