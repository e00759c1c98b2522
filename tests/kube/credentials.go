package main

import (
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// writeCredentials makes a new authority and all that it vouches for: the
// server's certificate, the key for service account tokens, and a kubeconfig
// for each of the API server's clients.
func (c *cluster) writeCredentials() error {
	if err := os.MkdirAll(c.path("pki"), 0o700); err != nil {
		return err
	}
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	server, err := authority.server()
	if err != nil {
		return err
	}
	tokens, err := newKeyPair()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"ca.crt":              authority.certificatePEM,
		"apiserver.crt":       server.certificate,
		"apiserver.key":       server.key,
		"service-account.key": tokens.private,
		"service-account.pub": tokens.public,
	} {
		if err := os.WriteFile(c.path("pki", name), content, 0o600); err != nil {
			return err
		}
	}
	for _, client := range []struct{ path, user, group string }{
		{c.kubeconfig(), "admin", "system:masters"},
		{c.path("pki", "controller-manager.kubeconfig"), "system:kube-controller-manager", ""},
		{c.path("pki", "scheduler.kubeconfig"), "system:kube-scheduler", ""},
		{c.path("pki", "kwok.kubeconfig"), "kwok", "system:masters"},
	} {
		pair, err := authority.client(client.user, client.group)
		if err != nil {
			return err
		}
		// WriteToFile makes the file readable by its owner alone.
		if err := clientcmd.WriteToFile(c.clientConfig(authority, client.user, pair), client.path); err != nil {
			return err
		}
	}
	return c.connect()
}

// clientConfig has the certificates inside, so that the file can be moved.
func (c *cluster) clientConfig(authority *authority, user string, pair pair) api.Config {
	config := api.NewConfig()
	config.Clusters[c.name] = &api.Cluster{Server: c.server(), CertificateAuthorityData: authority.certificatePEM}
	config.AuthInfos[user] = &api.AuthInfo{ClientCertificateData: pair.certificate, ClientKeyData: pair.key}
	config.Contexts[c.name] = &api.Context{Cluster: c.name, AuthInfo: user}
	config.CurrentContext = c.name
	return *config
}

// connect makes our own client from the file that the caller will get, which
// shows at the same time that the file works.
func (c *cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		return err
	}
	config.QPS = -1 // we poll often, by design
	config.WarningHandler = rest.NoWarnings{}
	c.client, err = kubernetes.NewForConfig(config)
	return err
}
