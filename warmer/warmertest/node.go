package warmertest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/bell"
	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Node is a node and the registry that it pulls from, in memory: for tests in synctest bubbles, where what it does takes
// the time that it would. It is a [warmer.Runtime] and a [warmer.Registry]. Fields may be set before it is used.
type Node struct {
	// FetchRate and UnpackRate are in bytes per second.
	FetchRate, UnpackRate int64
	// Size is the disk's. Every layer grows by Growth when it is unpacked.
	Size   int64
	Growth int64
	// Abandoning is how long that takes when everything is gone already.
	Abandoning time.Duration
	// TransferService has it fetch by itself.
	TransferService bool
	// Rebases has layers unpacked before those below them are.
	Rebases bool

	mu        sync.Mutex
	fault     func(step, what string) error
	tags      map[string]warmer.Descriptor
	docs      map[warmer.Digest][]byte // in the registry
	bits      map[warmer.Digest]int64  // layers there
	here      map[warmer.Digest][]byte
	blobs     map[warmer.Digest]warmer.Blob
	snaps     map[warmer.Digest]int64
	kept      map[string]*keptImage
	events    []chan warmer.Event
	calls     map[string]int
	most, now map[string]int
	filled    int64
	committed bell.Bell // rung when there is another snapshot
}

type keptImage struct {
	held  warmer.Held
	image warmer.Image
	want  warmer.Want
}

// NewNode makes an empty one with a disk of 1 GB.
func NewNode() *Node {
	return &Node{
		FetchRate: 100 << 20, UnpackRate: 200 << 20, Size: 1 << 30, Growth: 1,
		tags: map[string]warmer.Descriptor{}, docs: map[warmer.Digest][]byte{}, bits: map[warmer.Digest]int64{}, here: map[warmer.Digest][]byte{},
		blobs: map[warmer.Digest]warmer.Blob{}, snaps: map[warmer.Digest]int64{}, kept: map[string]*keptImage{}, calls: map[string]int{}, most: map[string]int{}, now: map[string]int{},
	}
}

func digestOf(data []byte) warmer.Digest {
	sum := sha256.Sum256(data)
	return warmer.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// BlobOf is the digest of a layer that was published by a name.
func BlobOf(name string) warmer.Digest { return digestOf([]byte("blob " + name)) }

// Publish puts an image into the registry, with layers by name and size. Layers whose names begin with "assets" are such.
func (n *Node) Publish(ref string, layers map[string]int64) warmer.Digest {
	n.mu.Lock()
	defer n.mu.Unlock()
	type doc map[string]any
	var descriptors []doc
	var diffs []warmer.Digest
	for name, size := range sorted(layers) {
		d := BlobOf(name)
		n.bits[d] = size
		diffs = append(diffs, digestOf([]byte("diff "+name)))
		l := doc{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": d, "size": size}
		if len(name) >= 6 && name[:6] == "assets" {
			l["annotations"] = doc{"dev.pitcrew.phase": "assets"}
		}
		descriptors = append(descriptors, l)
	}
	store := func(v any) (warmer.Digest, int) {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err) // maps of strings
		}
		n.docs[digestOf(raw)] = raw
		return digestOf(raw), len(raw)
	}
	config, size := store(doc{"rootfs": doc{"type": "layers", "diff_ids": diffs}, "name": ref})
	d, length := store(doc{
		"mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": descriptors,
		"config": doc{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size},
	})
	n.tags[ref] = warmer.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: d, Size: int64(length)}
	return d
}

// Fail has fault asked before each step, such as "blob", "resolve" or "unpack", whether it fails; nil ends that.
func (n *Node) Fail(fault func(step, what string) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = fault
}

// Called is how often a step was begun.
func (n *Node) Called(step string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls[step]
}

// Fill has others take a part of the disk.
func (n *Node) Fill(bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filled = bytes
}

// Now is how many there are, of what [Node.Most] counts.
func (n *Node) Now(what string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now[what]
}

// Most is how many there were at the same time, of "transfer", "fetch", "unpack", or layers that "wait" for those below.
func (n *Node) Most(what string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.most[what]
}

// step counts a call and asks for its fault.
func (n *Node) step(step, what string) error {
	n.mu.Lock()
	n.calls[step]++
	fault := n.fault
	n.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(step, what)
}

// Resolve is that of a [warmer.Registry].
func (n *Node) Resolve(_ context.Context, ref string) (warmer.Descriptor, error) {
	if err := n.step("resolve", ref); err != nil {
		return warmer.Descriptor{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	d, ok := n.tags[ref]
	if !ok {
		return d, &warmer.RegistryError{Ref: ref, Status: 404}
	}
	return d, nil
}

// Manifest is that of a [warmer.Registry].
func (n *Node) Manifest(_ context.Context, ref string, d warmer.Descriptor) ([]byte, warmer.Descriptor, error) {
	if err := n.step("manifest", ref); err != nil {
		return nil, d, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.docs[d.Digest], d, nil
}

// Blob is that of a [warmer.Registry]: a layer of nothing, at the node's rate, or a document.
func (n *Node) Blob(ctx context.Context, _ string, d warmer.Descriptor, offset int64) (io.ReadCloser, error) {
	if err := n.step("blob", string(d.Digest)); err != nil {
		return nil, err
	}
	return n.sent(ctx, d, offset), nil
}

// sent is what the registry has to send.
func (n *Node) sent(ctx context.Context, d warmer.Descriptor, offset int64) io.ReadCloser {
	n.mu.Lock()
	defer n.mu.Unlock()
	if raw, ok := n.docs[d.Digest]; ok {
		return io.NopCloser(&document{raw[offset:]})
	}
	return &stream{ctx: ctx, left: n.bits[d.Digest] - offset, rate: n.FetchRate}
}

type document struct{ left []byte }

func (r *document) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	c := copy(p, r.left)
	r.left = r.left[c:]
	return c, nil
}

type stream struct {
	ctx  context.Context //nolint:containedctx // of the request
	left int64
	rate int64
}

func (s *stream) Close() error { return nil }

func (s *stream) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	c := min(int64(len(p)), s.left)
	if err := pause(s.ctx, c, s.rate); err != nil {
		return 0, err
	}
	s.left -= c
	return int(c), nil
}

// pause takes as long as bytes do.
func pause(ctx context.Context, bytes, rate int64) error {
	timer := time.NewTimer(time.Duration(float64(bytes) / float64(rate) * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Target is that of [warmer.Content].
func (n *Node) Target(_ context.Context, w warmer.Want) (warmer.Descriptor, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k := n.kept[w.Key()]; k != nil {
		return k.image.Target, nil
	}
	return warmer.Descriptor{}, warmer.ErrNotFound
}

// Read is that of [warmer.Content].
func (n *Node) Read(_ context.Context, d warmer.Descriptor) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if raw, ok := n.here[d.Digest]; ok {
		return raw, nil
	}
	return nil, warmer.ErrNotFound
}

// Put is that of [warmer.Content].
func (n *Node) Put(_ context.Context, h warmer.Hold, d warmer.Descriptor, data []byte, _ []warmer.Descriptor) error {
	if digestOf(data) != d.Digest {
		return &warmer.DigestError{Ref: h.Want.Ref, Want: d.Digest, Got: string(digestOf(data))}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.here[d.Digest] = data
	return nil
}

// begin counts something that goes on until the returned function is called.
func (n *Node) begin(what string) func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now[what]++
	n.most[what] = max(n.most[what], n.now[what])
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.now[what]--
	}
}

// Fetch is that of [warmer.Content].
func (n *Node) Fetch(_ context.Context, _ warmer.Hold, d warmer.Descriptor, open func(int64) (io.ReadCloser, error), progress func(int64)) error {
	defer n.begin("fetch")()
	n.mu.Lock()
	offset := n.blobs[d.Digest].Offset
	n.mu.Unlock()
	from, err := open(offset)
	if err != nil {
		return err
	}
	defer from.Close()
	return n.store(d, from, progress)
}

// Transfers is that of [warmer.Transferrer].
func (n *Node) Transfers() bool { return n.TransferService }

// Transfer is that of [warmer.Transferrer]: one blob after the other, each of which is a step "transfer".
func (n *Node) Transfer(ctx context.Context, _ warmer.Hold, i warmer.Image, _ warmer.Access, told func(warmer.Digest, warmer.Blob)) error {
	defer n.begin("transfer")()
	for _, l := range i.Layers {
		n.mu.Lock()
		had := n.blobs[l.Digest]
		n.mu.Unlock()
		if had.Complete {
			continue
		}
		if err := n.step("transfer", string(l.Digest)); err != nil {
			return err
		}
		from := n.sent(ctx, l.Descriptor, had.Offset)
		err := n.store(l.Descriptor, from, func(c int64) {
			had.Offset += c
			told(l.Digest, warmer.Blob{Offset: had.Offset, Complete: had.Offset == l.Size})
		})
		_ = from.Close() // of nothing
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) store(d warmer.Descriptor, from io.Reader, progress func(int64)) error {
	buffer := make([]byte, 1<<20)
	for {
		c, err := from.Read(buffer)
		n.mu.Lock()
		b := n.blobs[d.Digest]
		b.Offset += int64(c)
		b.Complete = b.Offset == d.Size
		n.blobs[d.Digest] = b
		n.mu.Unlock()
		if c > 0 {
			progress(int64(c))
		}
		switch {
		case b.Complete:
			return nil
		case err != nil:
			return fmt.Errorf("cut: %w: %w", err, warmer.ErrUnavailable)
		}
	}
}

// Ahead is that of [warmer.Unpacker].
func (n *Node) Ahead() bool { return n.Rebases }

// unfinished is what a snapshot is called that is not one yet.
const unfinished = " unfinished"

// Unpack is that of [warmer.Unpacker].
func (n *Node) Unpack(ctx context.Context, _ warmer.Hold, layers []warmer.Layer, i int, applied func()) error {
	l := layers[i]
	err := n.apply(ctx, l)
	if err == nil && i > 0 {
		err = n.awaitSnapshot(ctx, layers[i-1].ChainID, applied)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.snaps, l.ChainID+unfinished)
	if err != nil {
		return err
	}
	n.snaps[l.ChainID] = l.Size * n.Growth
	n.committed.Ring()
	return nil
}

// apply writes a layer.
func (n *Node) apply(ctx context.Context, l warmer.Layer) error {
	defer n.begin("unpack")()
	if err := n.step("unpack", string(l.Digest)); err != nil {
		return err
	}
	const parts = 10
	for part := range int64(parts) {
		if err := pause(ctx, l.Size/parts, n.UnpackRate); err != nil {
			return err
		}
		n.mu.Lock()
		n.snaps[l.ChainID+unfinished] = l.Size * n.Growth * (part + 1) / parts
		n.mu.Unlock()
	}
	return nil
}

func (n *Node) awaitSnapshot(ctx context.Context, chain warmer.Digest, applied func()) error {
	defer n.begin("wait")()
	for waits := false; ; waits = true {
		committed := n.committed.Wait()
		n.mu.Lock()
		_, there := n.snaps[chain]
		n.mu.Unlock()
		switch {
		case there:
			return nil
		case !n.Rebases:
			return fmt.Errorf("no snapshot %s: %w", chain, warmer.ErrNotFound)
		case !waits:
			applied()
		}
		select {
		case <-committed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Observe is that of [warmer.Keeper].
func (n *Node) Observe(_ context.Context, w warmer.Want, i warmer.Image) (warmer.Observed, error) {
	if err := n.step("observe", w.Ref); err != nil {
		return warmer.Observed{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	out := warmer.Observed{Blobs: map[warmer.Digest]warmer.Blob{}, Snapshots: map[warmer.Digest]bool{}}
	for _, l := range w.Layers.Select(i.Layers) {
		out.Blobs[l.Digest] = n.blobs[l.Digest]
		_, out.Snapshots[l.ChainID] = n.snaps[l.ChainID]
	}
	out.Documents = n.here[i.Manifest.Digest] != nil && n.here[i.Config.Digest] != nil
	k := n.kept[w.Key()]
	out.Kept = k != nil && k.image.Target.Digest == i.Target.Digest && k.held.Since.IsZero() && k.held.Pinned == w.Pin && k.held.Retention == w.Retention
	return out, nil
}

// Held is that of [warmer.Keeper].
func (n *Node) Held(context.Context) ([]warmer.Held, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []warmer.Held
	for _, k := range sorted(n.kept) {
		out = append(out, k.held)
	}
	return out, nil
}

// Keep is that of [warmer.Keeper].
func (n *Node) Keep(_ context.Context, h warmer.Hold, i warmer.Image) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept[h.Key] = &keptImage{held: warmer.Held{Key: h.Key, Pinned: h.Want.Pin, Retention: h.Want.Retention}, image: i, want: h.Want}
	return nil
}

// Unpin is that of [warmer.Keeper].
func (n *Node) Unpin(_ context.Context, key string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.kept[key]
	if k == nil {
		return warmer.ErrNotFound
	}
	k.held.Pinned, k.held.Since = false, time.Now()
	return nil
}

// Evict is that of [warmer.Keeper].
func (n *Node) Evict(_ context.Context, key string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.kept, key)
	n.collect()
	return nil
}

// Abandon is that of [warmer.Keeper].
func (n *Node) Abandon(ctx context.Context, _ warmer.Hold) error {
	n.mu.Lock()
	n.collect()
	n.mu.Unlock()
	select {
	case <-time.After(n.Abandoning):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// collect removes what no image holds.
func (n *Node) collect() {
	held := map[warmer.Digest]bool{}
	for _, k := range n.kept {
		held[k.image.Manifest.Digest], held[k.image.Config.Digest] = true, true
		for _, l := range k.want.Layers.Select(k.image.Layers) {
			held[l.Digest], held[l.ChainID] = true, true
		}
	}
	maps.DeleteFunc(n.here, func(d warmer.Digest, _ []byte) bool { return !held[d] })
	maps.DeleteFunc(n.blobs, func(d warmer.Digest, _ warmer.Blob) bool { return !held[d] })
	maps.DeleteFunc(n.snaps, func(d warmer.Digest, _ int64) bool { return !held[d] })
}

// Disk is that of [warmer.Keeper].
func (n *Node) Disk(context.Context) (warmer.Disk, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	free := n.Size - n.filled
	for _, b := range n.blobs {
		free -= b.Offset
	}
	for _, s := range n.snaps {
		free -= s
	}
	return warmer.Disk{Free: free, Total: n.Size}, nil
}

// Watch is that of [warmer.Events].
func (n *Node) Watch(ctx context.Context, tell func(warmer.Event)) error {
	c := make(chan warmer.Event)
	n.mu.Lock()
	n.events = append(n.events, c)
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.events = slices.DeleteFunc(n.events, func(x chan warmer.Event) bool { return x == c })
	}()
	for {
		select {
		case e := <-c:
			tell(e)
		case <-ctx.Done():
			return nil
		}
	}
}

// Tell makes an event.
func (n *Node) Tell(e warmer.Event) {
	n.mu.Lock()
	to := slices.Clone(n.events)
	n.mu.Unlock()
	for _, c := range to {
		c <- e
	}
}

// Remove takes an image away, as somebody else would, and says so.
func (n *Node) Remove(key string) {
	n.mu.Lock()
	delete(n.kept, key)
	n.collect()
	n.mu.Unlock()
	n.Tell(warmer.Event{Gone: true, Image: key})
}

// Use says whether a container uses an image.
func (n *Node) Use(key string, used bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept[key].held.InUse = used
}

// Keys are the images that are kept.
func (n *Node) Keys() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.kept))
}
