package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Short, since a start is made of several waits one after another.
	pollInterval = 50 * time.Millisecond
	// One look may not hang, for then a component's death would go unseen.
	probeTimeout = 2 * time.Second
)

// probe is one look at the cluster; nil means that the awaited is there.
type probe func(context.Context) error

// portTakenError is the one failure that another try can cure.
type portTakenError struct{ component string }

func (e *portTakenError) Error() string { return e.component + " found its port taken" }

// wait polls until the probe is content, a component has died, or time is up.
func (c *cluster) wait(ctx context.Context, what string, probe probe) error {
	return c.waitFor(ctx, "", what, probe)
}

// waitFor is wait for the sake of one component: others may be down, since a
// caller may have stopped them.
func (c *cluster) waitFor(ctx context.Context, component, what string, probe probe) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		for name, process := range c.processes {
			if (component == "" || component == name) && !process.running() {
				return c.deathOf(name)
			}
		}
		err := look(ctx, probe)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last: %v; logs are in %s)", what, context.Cause(ctx), err, c.dir)
		case <-ticker.C:
		}
	}
}

func look(ctx context.Context, probe probe) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return probe(ctx)
}

// deathOf explains an early end by the component's own last words.
func (c *cluster) deathOf(name string) error {
	log, err := os.ReadFile(c.processes[name].log)
	if err != nil {
		return err
	}
	const lastWords = 2000
	log = log[max(0, len(log)-lastWords):]
	if bytes.Contains(log, []byte("address already in use")) {
		return &portTakenError{name}
	}
	return fmt.Errorf("%s ended unexpectedly; its log ends with:\n%s", name, log)
}

func (c *cluster) etcdHealthy(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/health", c.ports.etcd), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd: %s", response.Status)
	}
	return nil
}

func (c *cluster) apiserverReady(ctx context.Context) error {
	_, err := c.client.CoreV1().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}

// usable is when a pod could be made and would run: admission refuses pods
// until the service account exists, and they wait until a node is Ready.
func (c *cluster) usable(ctx context.Context) error {
	_, err := c.client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	if err != nil {
		return err
	}
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	ready := 0
	for _, node := range nodes.Items {
		if nodeReady(&node) {
			ready++
		}
	}
	if ready < c.nodes {
		return fmt.Errorf("%d of %d nodes are Ready", ready, c.nodes)
	}
	return nil
}

// nodeReady is stricter than the condition: the taint is taken off a moment
// later, and until then nothing is scheduled there.
func nodeReady(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady {
			return false
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
