package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	pauseImage       = "cluster.test/pause:1"
)

// containerdFlags writes the configuration of containerd and of the network it
// puts pods in, and gives the flags.
func containerdFlags(dir, runc string, network network) ([]string, error) {
	cni := filepath.Join(dir, "cni")
	if err := os.Mkdir(cni, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the pods' network: %w", err)
	}
	if err := writeJSON(filepath.Join(cni, "pods.conflist"), network.cniConfiguration()); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "containerd.toml")
	if err := os.WriteFile(file, containerdConfiguration(dir, runc, cni), 0o600); err != nil {
		return nil, fmt.Errorf("configuring containerd: %w", err)
	}
	return []string{"--config=" + file}, nil
}

func containerdConfiguration(dir, runc, cni string) []byte {
	return fmt.Appendf(nil, `version = 3
root = %q
state = "/run/containerd"

[grpc]
address = %q

[plugins."io.containerd.internal.v1.opt"]
path = "/run/opt"

[plugins."io.containerd.nri.v1.nri"]
disable = true

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %q

[plugins."io.containerd.cri.v1.runtime"]
# Without the right to lower it for a sandbox, every sandbox would fail.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%q]
conf_dir = %q

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = %q
SystemdCgroup = false
`, filepath.Join(dir, "containerd"), containerdSocket, pauseImage, toolsDirectory(), cni, runc)
}
