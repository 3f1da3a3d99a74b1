package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// findTools gives the path of runc, or an error that says what is missing.
func findTools() (runc string, err error) {
	if os.Geteuid() != 0 {
		return "", errors.New("a node needs root")
	}
	for _, tool := range []string{"runc", "nft", "ip", "nsenter"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			return "", fmt.Errorf("a node needs %s: install its package", tool)
		}
		if tool == "runc" {
			runc = path
		}
	}
	for _, tool := range []string{"containerd", "containerd-shim-runc-v2", "ctr", "bridge", "host-local", "loopback", "coredns", "pause"} {
		if _, err := os.Stat(filepath.Join(toolsDirectory(), tool)); err != nil {
			return "", fmt.Errorf("a node needs %s beside this binary: run `make node`", tool)
		}
	}
	return runc, nil
}

// toolsDirectory is where this binary is, and those that were built with it.
func toolsDirectory() string {
	self, err := os.Executable()
	if err != nil {
		return "."
	}
	return filepath.Dir(self)
}
