// Package cri asks a container runtime what kubelet would: whether an image is there, and to pull it. It proves that what
// the warmer left is what kubelet looks for; [Dial] to begin.
package cri

import (
	"context"
	"fmt"
	"path"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Client speaks to a runtime's CRI socket.
type Client struct {
	conn   *grpc.ClientConn
	images cri.ImageServiceClient
}

// Dial prepares a connection; the first question makes it.
func Dial(socket string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("CRI at %s: %w", socket, err)
	}
	return &Client{conn: conn, images: cri.NewImageServiceClient(conn)}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Snapshotter is the name of the snapshotter that CRI unpacks into; empty if it does not say.
func (c *Client) Snapshotter(ctx context.Context) string {
	answer, err := c.images.ImageFsInfo(ctx, &cri.ImageFsInfoRequest{})
	if err != nil || len(answer.GetImageFilesystems()) == 0 {
		return ""
	}
	// The folder of containerd's snapshotters has their name.
	_, name, _ := strings.Cut(path.Base(answer.GetImageFilesystems()[0].GetFsId().GetMountpoint()), "io.containerd.snapshotter.v1.")
	return name
}

// Image is what CRI knows of an image.
type Image struct {
	ID     string
	Size   uint64
	Pinned bool
}

// Image says whether kubelet finds an image; nil if it does not.
func (c *Client) Image(ctx context.Context, ref string) (*Image, error) {
	answer, err := c.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
	if err != nil {
		return nil, fmt.Errorf("image status of %s: %w", ref, err)
	}
	i := answer.GetImage()
	if i == nil {
		return nil, nil // an answer: it is not there
	}
	return &Image{ID: i.GetId(), Size: i.GetSize(), Pinned: i.GetPinned()}, nil
}

// Pull has CRI pull an image, as kubelet does where a pod's policy is Always.
func (c *Client) Pull(ctx context.Context, ref string) error {
	if _, err := c.images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: ref}}); err != nil {
		return fmt.Errorf("pull %s: %w", ref, err)
	}
	return nil
}
