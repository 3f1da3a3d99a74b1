package main

import (
	"path/filepath"
	"strings"
)

const proxyHealth = nodeAddress + ":10256"

// proxyFlags writes the configuration of kube-proxy, which acts as the admin,
// and gives the flags.
func proxyFlags(dir, kubeconfig string, network network) ([]string, error) {
	file := filepath.Join(dir, "kube-proxy.json")
	err := writeJSON(file, map[string]any{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               "nftables",
		"hostnameOverride":   nodeName,
		"clusterCIDR":        strings.Join(network.podCIDRs(), ","),
		"clientConnection":   map[string]any{"kubeconfig": kubeconfig},
		"healthzBindAddress": proxyHealth,
		// A test should not have to wait for the rules of a Service.
		"nftables": map[string]any{"minSyncPeriod": "50ms"},
		// These would be set for the whole machine.
		"conntrack": map[string]any{
			"maxPerCore":            0,
			"min":                   0,
			"tcpEstablishedTimeout": "0s",
			"tcpCloseWaitTimeout":   "0s",
		},
	})
	return []string{"--config=" + file}, err
}

// schedulerFlags are those of the scheduler, which acts as the admin.
func schedulerFlags(kubeconfig string) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		// Serves nothing: nobody asks for its metrics.
		"--secure-port=0",
	}
}
