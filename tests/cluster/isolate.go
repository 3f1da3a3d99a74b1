package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// changed are the directories that the node's daemons write to by their own
// names; the node has a layer in memory over each.
var changed = []string{"/etc", "/opt", "/var"}

// kernelSettings are what the kubelet wants, below /proc/sys. They are the whole
// machine's, so it is shown files that say it has them.
var kernelSettings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// isolate makes of new namespaces a place where a node can do as it likes.
func isolate(dir string) error {
	// First of all: no mount below may reach the machine.
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for _, directory := range changed {
		if err := layOver(directory); err != nil {
			return err
		}
	}
	if err := bindKubeletDirectory(dir); err != nil {
		return err
	}
	if err := pretendKernelSettings(); err != nil {
		return err
	}
	_, err := os.Stat("/proc/net/if_inet6")
	for setting, value := range networkSettings(err == nil) {
		if err := os.WriteFile(filepath.Join("/proc/sys/net", setting), []byte(value), 0o644); err != nil {
			return err
		}
	}
	// Volumes are mounted by the kubelet and have to show up in containers.
	return mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

func layOver(directory string) error {
	layer := filepath.Join("/run/layers", directory)
	upper, work := filepath.Join(layer, "upper"), filepath.Join(layer, "work")
	for _, made := range []string{upper, work} {
		if err := os.MkdirAll(made, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", directory, upper, work)
	return mount("overlay", directory, "overlay", 0, options)
}

// kubeletDirectory is the kubelet's usual one: it makes sockets in there, whose
// paths must be short.
const kubeletDirectory = "/var/lib/kubelet"

// bindKubeletDirectory has its content below dir, on disk: volumes are there.
func bindKubeletDirectory(dir string) error {
	kubelet := filepath.Join(dir, "kubelet")
	for _, made := range []string{kubelet, kubeletDirectory} {
		if err := os.MkdirAll(made, 0o750); err != nil {
			return err
		}
	}
	return mount(kubelet, kubeletDirectory, "", unix.MS_BIND, "")
}

func pretendKernelSettings() error {
	for setting, value := range kernelSettings {
		file := filepath.Join("/run", strings.ReplaceAll(setting, "/", "."))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := mount(file, filepath.Join("/proc/sys", setting), "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

func mount(source, target, kind string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mounting %s: %w", target, err)
	}
	return nil
}

// hidden says whether a directory of the machine is out of sight in the node.
func hidden(dir string) bool {
	for _, top := range append(changed, "/run", "/proc") {
		if dir == top || strings.HasPrefix(dir, top+"/") {
			return true
		}
	}
	return false
}
