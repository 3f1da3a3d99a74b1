package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// summary is the one line on standard output: where the cluster is.
type summary struct {
	Server            string   `json:"server"`
	Kubeconfig        string   `json:"kubeconfig"`
	CA                string   `json:"ca"`
	Issuer            string   `json:"issuer"`
	Directory         string   `json:"directory"`
	Node              string   `json:"node"`
	NodeAddresses     []string `json:"nodeAddresses"`
	HostAddresses     []string `json:"hostAddresses"`
	IPv6              bool     `json:"ipv6"`
	PID               int      `json:"pid"`
	ReadyMilliseconds int64    `json:"readyMilliseconds"`
}

func (s summary) tell() error {
	line, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("saying where the cluster is: %w", err)
	}
	line = append(line, '\n')
	if err := os.WriteFile(filepath.Join(s.Directory, "node.json"), line, 0o600); err != nil {
		return fmt.Errorf("writing where the cluster is: %w", err)
	}
	if _, err := os.Stdout.Write(line); err != nil {
		return fmt.Errorf("printing where the cluster is: %w", err)
	}
	return nil
}
