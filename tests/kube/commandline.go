package main

import "fmt"

// commandLine is how each component is called. Everything is on loopback.
//
// The controllers serve nothing (--secure-port=0): nobody asks them, and every
// port less is a clash less when many clusters start at once. Their limits on
// requests are far above the defaults, which are made for production and would
// have tests wait.
func (c *cluster) commandLine(name string) (program string, args []string) {
	etcd := fmt.Sprintf("http://127.0.0.1:%d", c.ports.etcd)
	switch name {
	case "etcd":
		// No peer will ever come: it listens on any free port and advertises
		// one that is not meant to be called.
		const peer = "http://127.0.0.1:2380"
		return c.self, []string{
			name,
			"--name=nave",
			"--data-dir=" + c.path("etcd"),
			"--listen-client-urls=" + etcd,
			"--advertise-client-urls=" + etcd,
			"--listen-peer-urls=http://127.0.0.1:0",
			"--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=nave=" + peer,
			"--unsafe-no-fsync", // the data does not outlive the test
			"--log-level=error",
		}
	case "kube-apiserver":
		return c.self, []string{
			name,
			"--etcd-servers=" + etcd,
			"--bind-address=127.0.0.1",
			"--advertise-address=127.0.0.1",
			fmt.Sprintf("--secure-port=%d", c.ports.apiserver),
			"--endpoint-reconciler-type=none",
			"--service-cluster-ip-range=10.96.0.0/16",
			"--authorization-mode=Node,RBAC",
			"--allow-privileged=true",
			"--tls-cert-file=" + c.path("pki", "apiserver.crt"),
			"--tls-private-key-file=" + c.path("pki", "apiserver.key"),
			"--client-ca-file=" + c.path("pki", "ca.crt"),
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + c.path("pki", "service-account.pub"),
			"--service-account-signing-key-file=" + c.path("pki", "service-account.key"),
		}
	case "kube-controller-manager":
		return c.self, []string{
			name,
			"--kubeconfig=" + c.path("pki", "controller-manager.kubeconfig"),
			"--use-service-account-credentials",
			"--service-account-private-key-file=" + c.path("pki", "service-account.key"),
			"--root-ca-file=" + c.path("pki", "ca.crt"),
			"--leader-elect=false",
			"--secure-port=0",
			"--kube-api-qps=500",
			"--kube-api-burst=1000",
		}
	case "kube-scheduler":
		return c.self, []string{
			name,
			"--kubeconfig=" + c.path("pki", "scheduler.kubeconfig"),
			"--leader-elect=false",
			"--secure-port=0",
			"--kube-api-qps=500",
			"--kube-api-burst=1000",
		}
	case "kwok":
		return c.kwok, []string{
			"--kubeconfig=" + c.path("pki", "kwok.kubeconfig"),
			"--config=" + c.stages,
			"--manage-all-nodes=true",
			"--node-lease-duration-seconds=40",
			"--cidr=10.240.0.0/16",
			"--node-ip=10.240.0.1",
		}
	}
	panic("no such component: " + name)
}
