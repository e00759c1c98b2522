package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/kubernetes"
)

// cluster is one control plane: its folder, its ports and its processes.
type cluster struct {
	options
	self      string
	ports     *ports
	client    kubernetes.Interface
	processes map[string]*process
}

// startOrder is also the order of stopping, read backwards: the API server
// outlives its clients, and the store outlives the API server.
var startOrder = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}

// newCluster prepares a folder on fresh ports: what an earlier run left there
// is removed, so that every run begins with an empty cluster.
func newCluster(opts options) (*cluster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"etcd", "pki"} {
		if err := os.RemoveAll(filepath.Join(opts.dir, name)); err != nil {
			return nil, err
		}
	}
	for _, name := range startOrder {
		if err := os.Remove(filepath.Join(opts.dir, name+".log")); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	ports, err := reservePorts()
	if err != nil {
		return nil, err
	}
	c := &cluster{options: opts, self: self, ports: ports, processes: map[string]*process{}}
	if err := c.writeCredentials(); err != nil {
		ports.release()
		return nil, err
	}
	return c, nil
}

func (c *cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

func (c *cluster) kubeconfig() string { return c.path("kubeconfig") }

func (c *cluster) server() string { return fmt.Sprintf("https://127.0.0.1:%d", c.ports.apiserver) }

// pids are those of the components that run now.
func (c *cluster) pids() map[string]int {
	pids := map[string]int{}
	for name, process := range c.processes {
		if process.running() {
			pids[name] = process.pid()
		}
	}
	return pids
}

// startAll returns when the cluster is ready for use.
func (c *cluster) startAll(ctx context.Context) error {
	for _, name := range startOrder {
		if err := c.start(ctx, name); err != nil {
			return err
		}
		// Nodes as early as can be: their becoming Ready then overlaps with
		// the start of the controllers.
		if name == "kube-apiserver" {
			if err := c.createNodes(ctx); err != nil {
				return err
			}
		}
	}
	return c.wait(ctx, "the default service account and the nodes", c.usable)
}

// start runs one component, and for the two that others call it waits until
// they answer. Ports and data are those of its earlier life.
func (c *cluster) start(ctx context.Context, name string) error {
	if !slices.Contains(startOrder, name) {
		return fmt.Errorf("unknown component %q; known are %s", name, strings.Join(startOrder, ", "))
	}
	if c.processes[name].running() {
		return fmt.Errorf("%s runs already", name)
	}
	program, args := c.commandLine(name)
	process, err := startProcess(program, args, c.dir, c.path(name+".log"))
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.processes[name] = process
	switch name {
	case "etcd":
		err = c.waitFor(ctx, name, "etcd to answer", c.etcdHealthy)
	case "kube-apiserver":
		err = c.waitFor(ctx, name, "the API server's /readyz", c.apiserverReady)
	}
	if err != nil {
		process.kill() // so that it can be tried again
	}
	return err
}

// stop asks a component to end, as an operator would.
func (c *cluster) stop(name string) error {
	if !c.processes[name].running() {
		return fmt.Errorf("%s does not run", name)
	}
	c.processes[name].stop(stopGrace)
	return nil
}

// kill ends a component like a crash; one that is dead already is no error,
// since the caller may have killed it by its pid.
func (c *cluster) kill(name string) error {
	if c.processes[name] == nil {
		return fmt.Errorf("unknown component %q; known are %s", name, strings.Join(startOrder, ", "))
	}
	c.processes[name].kill()
	return nil
}

func (c *cluster) stopAll() {
	defer c.ports.release()
	var clients sync.WaitGroup
	for _, name := range startOrder[2:] {
		clients.Go(func() { c.processes[name].stop(teardownGrace) })
	}
	clients.Wait()
	c.processes["kube-apiserver"].stop(teardownGrace)
	c.processes["etcd"].stop(teardownGrace)
}
