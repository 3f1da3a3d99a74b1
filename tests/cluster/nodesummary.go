package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const nodeSummaryFile = "node.json"

// nodeSummary is the one line on standard output: where the node is.
type nodeSummary struct {
	Server            string   `json:"server"`
	Kubeconfig        string   `json:"kubeconfig"`
	CA                string   `json:"ca"`
	Issuer            string   `json:"issuer"`
	Directory         string   `json:"directory"`
	Node              string   `json:"node"`
	NodeAddresses     []string `json:"nodeAddresses"`
	HostAddresses     []string `json:"hostAddresses"`
	PodCIDRs          []string `json:"podCIDRs"`
	ServiceCIDRs      []string `json:"serviceCIDRs"`
	DNS               string   `json:"dns"`
	IPv6              bool     `json:"ipv6"`
	PID               int      `json:"pid"`
	Supervisor        int      `json:"supervisor"`
	Containerd        string   `json:"containerd"`
	ReadyMilliseconds int64    `json:"readyMilliseconds"`
}

func (n *node) tell(pid int, took time.Duration) error {
	line := nodeSummary{
		Server:            n.apiServer.url,
		Kubeconfig:        n.kubeconfig,
		CA:                n.apiServer.keys.caFile,
		Issuer:            n.apiServer.url,
		Directory:         n.dir,
		Node:              nodeName,
		NodeAddresses:     n.network.nodeAddresses(),
		HostAddresses:     n.network.hostAddresses(),
		PodCIDRs:          n.network.podCIDRs(),
		ServiceCIDRs:      n.network.serviceCIDRs(),
		DNS:               dnsAddress,
		IPv6:              n.network.ipv6,
		PID:               pid,
		Supervisor:        os.Getpid(),
		Containerd:        containerdSocket,
		ReadyMilliseconds: took.Milliseconds(),
	}
	if err := writeJSON(filepath.Join(n.dir, nodeSummaryFile), line); err != nil {
		return fmt.Errorf("writing where the node is: %w", err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		return fmt.Errorf("printing where the node is: %w", err)
	}
	return nil
}

func readNodeSummary(dir string) (nodeSummary, error) {
	var summary nodeSummary
	content, err := os.ReadFile(filepath.Join(dir, nodeSummaryFile))
	if err == nil {
		err = json.Unmarshal(content, &summary)
	}
	if err != nil {
		return nodeSummary{}, fmt.Errorf("is a node running there? %w", err)
	}
	return summary, nil
}
