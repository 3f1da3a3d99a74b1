package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const cgroupRoot = "/sys/fs/cgroup/"

func cgroupDirectories(hierarchies []string, name string) []string {
	var directories []string
	for _, hierarchy := range hierarchies {
		directories = append(directories, filepath.Join(hierarchy, name))
	}
	return directories
}

// makeCgroups makes the cgroup of the pods in every hierarchy, told apart by
// its name from those of other kubelets.
func makeCgroups(hierarchies []string, name string) error {
	for _, directory := range cgroupDirectories(hierarchies, name) {
		if err := os.Mkdir(directory, 0o755); err != nil {
			return fmt.Errorf("making a cgroup: %w", err)
		}
		// A new cpuset is empty, and no process can enter an empty one.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			all, err := os.ReadFile(filepath.Join(filepath.Dir(directory), file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(directory, file), all, 0o644)
			}
			if err != nil {
				return fmt.Errorf("filling a cgroup: %w", err)
			}
		}
	}
	return nil
}

// cgroupHierarchies are where cgroups of version 1 are mounted, and beside them
// the one of version 2 that has no controllers.
func cgroupHierarchies() ([]string, error) {
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("looking for cgroups: %w", err)
	}
	defer mounts.Close()
	var found []string
	version1 := false
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") && strings.HasPrefix(fields[1], cgroupRoot) {
			found = append(found, fields[1])
			version1 = version1 || fields[2] == "cgroup"
		}
	}
	if !version1 {
		return nil, errors.New("no cgroups of version 1 below " + cgroupRoot + ": a node is tried on no other machine")
	}
	return found, nil
}
