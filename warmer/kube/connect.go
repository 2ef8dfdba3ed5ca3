package kube

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/scheme"
)

// Cluster is how to reach one.
type Cluster = rest.Config

// Config finds the cluster: by the file that is named, else by the pod that this runs in, else by $KUBECONFIG or the home
// folder's .kube/config. It has a namespace, if one is chosen there.
func Config(kubeconfig, agent string) (*Cluster, string, error) {
	if kubeconfig == "" {
		if c, err := rest.InClusterConfig(); err == nil {
			c.UserAgent = agent
			return c, "", nil
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	c, err := loaded.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("find the cluster: %w", err)
	}
	namespace, _, err := loaded.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("find the cluster: %w", err)
	}
	c.UserAgent = agent
	return c, namespace, nil
}

// Client reads and writes without a cache.
func Client(c *Cluster) (client.Client, error) {
	c = rest.CopyConfig(c)
	c.QPS = -1 // the server knows best
	out, err := client.New(c, client.Options{Scheme: scheme.New()})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.Host, err)
	}
	return out, nil
}
