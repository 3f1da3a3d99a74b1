//go:build node

package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// machine is all of a machine that a node could have changed, as lines by what
// they are about.
type machine map[string][]string

// restless are settings that change by themselves, below /proc/sys.
var restless = regexp.MustCompile(`^(fs/(dentry-state|file-nr|inode-nr|inode-state|quota/.*|aio-nr)|kernel/(ns_last_pid|random/.*|pty/nr|tainted)|net/netfilter/nf_conntrack_count|vm/stat_refresh):`)

// lifetimes are what the kernel counts down in addresses and routes.
var lifetimes = regexp.MustCompile(`expires \d+sec`)

func lookAtMachine(t *testing.T) machine {
	t.Helper()
	return machine{
		"mounts":      output(t, "cat", "/proc/self/mounts"),
		"links":       output(t, "ip", "-brief", "link"),
		"addresses":   output(t, "ip", "-brief", "address"),
		"routes":      output(t, "ip", "route", "show", "table", "all"),
		"IPv6 routes": output(t, "ip", "-6", "route", "show", "table", "all"),
		"rules":       output(t, "ip", "rule"),
		"nftables":    output(t, "nft", "list", "ruleset"),
		"cgroups":     directories(t, "/sys/fs/cgroup"),
		"directories": directories(t, "/etc", "/opt", "/run", "/usr/libexec", "/var/lib", "/var/log", "/var/run"),
		"settings":    settings(t),
	}
}

func output(t *testing.T, command ...string) []string {
	t.Helper()
	content, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	return strings.Split(lifetimes.ReplaceAllString(string(content), ""), "\n")
}

func directories(t *testing.T, tops ...string) []string {
	t.Helper()
	var found []string
	for _, top := range tops {
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

func settings(t *testing.T) []string {
	t.Helper()
	var found []string
	const top = "/proc/sys/"
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		content, err := os.ReadFile(path)
		line := fmt.Sprintf("%s: %q %v", strings.TrimPrefix(path, top), content, err != nil)
		if !restless.MatchString(line) {
			found = append(found, line)
		}
		return nil
	})
	if len(found) < 100 {
		t.Fatalf("only %d settings below %s", len(found), top)
	}
	return found
}

// changes is what differs from before, a line each.
func (m machine) changes(before machine) []string {
	var changes []string
	for about, lines := range m {
		for _, line := range lines {
			if !slices.Contains(before[about], line) {
				changes = append(changes, about+": now "+line)
			}
		}
		for _, line := range before[about] {
			if !slices.Contains(lines, line) {
				changes = append(changes, about+": no longer "+line)
			}
		}
	}
	return changes
}

// inNamespaces gives the processes that share a namespace with that one.
func inNamespaces(t *testing.T, of map[string]string) []string {
	t.Helper()
	var found []string
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		if hasEnded(filepath.Base(process)) == nil {
			continue
		}
		for kind, namespace := range of {
			if is, err := os.Readlink(filepath.Join(process, "ns", kind)); err == nil && is == namespace {
				command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
				found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
				break
			}
		}
	}
	return found
}

func namespacesOf(t *testing.T, pid int) map[string]string {
	t.Helper()
	of := map[string]string{}
	for _, kind := range []string{"mnt", "net", "pid"} {
		namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			t.Fatal(err)
		}
		of[kind] = namespace
	}
	return of
}
