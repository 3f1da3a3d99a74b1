package main

import (
	"fmt"
	"path/filepath"
)

// etcd is where the API server keeps its objects.
type etcd struct {
	data      string
	clientURL string
	peerURL   string
}

func reserveEtcd(dir string) (*etcd, error) {
	clientPort, err := reservePort(0)
	if err != nil {
		return nil, fmt.Errorf("etcd client port: %w", err)
	}
	peerPort, err := reservePort(0)
	if err != nil {
		return nil, fmt.Errorf("etcd peer port: %w", err)
	}
	return newEtcd(dir, clientPort, peerPort), nil
}

func newEtcd(dir string, clientPort, peerPort int) *etcd {
	return &etcd{
		data:      filepath.Join(dir, "etcd"),
		clientURL: fmt.Sprintf("http://127.0.0.1:%d", clientPort),
		peerURL:   fmt.Sprintf("http://127.0.0.1:%d", peerPort),
	}
}

func (e *etcd) flags() []string {
	return []string{
		"--name=test",
		"--data-dir=" + e.data,
		"--listen-client-urls=" + e.clientURL,
		"--advertise-client-urls=" + e.clientURL,
		"--listen-peer-urls=" + e.peerURL,
		"--initial-advertise-peer-urls=" + e.peerURL,
		"--initial-cluster=test=" + e.peerURL,
		// Nothing here has to survive a power cut.
		"--unsafe-no-fsync",
	}
}
