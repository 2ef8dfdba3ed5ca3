package e2e_test

import (
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/kube"
)

// values are a chart's.
type values = map[string]any

func helm(t *testing.T, namespace string) *action.Configuration {
	t.Helper()
	settings := cli.New()
	settings.KubeConfig = e2e.Kubeconfig
	settings.SetNamespace(namespace)
	c := action.NewConfiguration()
	if err := c.Init(settings.RESTClientGetter(), namespace, "secret"); err != nil {
		t.Fatal(err)
	}
	return c
}

// helmInstall is `helm install --create-namespace --wait` of one of our charts, which is the name of the release, too.
func helmInstall(t *testing.T, chart, namespace string, v values) {
	t.Helper()
	loaded, err := loader.Load(root + "/charts/" + chart)
	if err != nil {
		t.Fatal(err)
	}
	install := action.NewInstall(helm(t, namespace))
	install.ReleaseName, install.Namespace, install.CreateNamespace = chart, namespace, true
	install.WaitStrategy, install.Timeout = kube.StatusWatcherStrategy, 2*time.Minute
	if _, err := install.RunWithContext(t.Context(), loaded, v); err != nil {
		t.Fatalf("helm install %s: %v", chart, err)
	}
}

func helmUninstall(t *testing.T, chart, namespace string) {
	t.Helper()
	uninstall := action.NewUninstall(helm(t, namespace))
	uninstall.WaitStrategy, uninstall.Timeout, uninstall.DeletionPropagation = kube.StatusWatcherStrategy, time.Minute, "foreground"
	if _, err := uninstall.Run(chart); err != nil {
		t.Errorf("helm uninstall %s: %v", chart, err)
	}
}
