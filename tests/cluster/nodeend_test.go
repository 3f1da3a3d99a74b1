//go:build node

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestNodeLeavesTheMachineAsItWas(t *testing.T) {
	ends := map[string]func(runningNode) error{
		"at the end of its input": func(n runningNode) error { return n.stdin.Close() },
		"at SIGTERM":              func(n runningNode) error { return n.command.Process.Signal(syscall.SIGTERM) },
		"when it is killed":       func(n runningNode) error { return n.command.Process.Kill() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			before := lookAtMachine(t)
			temporary := t.TempDir()
			node := startNode(t, "TMPDIR="+temporary)
			pods{client: node.client(t), namespace: "default"}.startServer(t)
			in := namespacesOf(t, node.PID)
			if running := inNamespaces(t, in); len(running) < 10 {
				t.Fatalf("only these are in the node's namespaces: %v", running)
			}
			if changes := lookAtMachine(t).changes(before); !slices.ContainsFunc(changes, func(c string) bool { return strings.HasPrefix(c, "cgroups: now ") }) {
				t.Fatalf("the comparison misses the cgroups of a node that runs: %v", changes)
			}

			ending := time.Now()
			if err := end(node); err != nil {
				t.Fatal(err)
			}
			// Killed, it can't wait for its sweeper, so this does, by the pipe.
			err := node.command.Wait()
			if state := node.command.ProcessState; !state.Success() && !strings.Contains(name, "killed") {
				t.Errorf("exit: %v", err)
			}
			t.Logf("gone in %v", time.Since(ending).Round(time.Millisecond))
			checkNothingLeft(t, before, in)
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("left in the temporary directory: %v %v", left, err)
			}
		})
	}
}

func TestNodeInTheBackgroundEndsByStop(t *testing.T) {
	before := lookAtMachine(t)
	dir := filepath.Join(t.TempDir(), "node")
	line, err := exec.Command("bin/cluster", "node", "--detach", "--dir", dir).Output()
	t.Cleanup(func() { _ = exec.Command("bin/cluster", "stop", dir).Run() })
	if err != nil {
		t.Fatal(err)
	}
	var node runningNode
	if err := json.Unmarshal(line, &node.nodeSummary); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	pods{client: node.client(t), namespace: "default"}.submit(t, podOf("any", probe("any", "fail")))
	in := namespacesOf(t, node.PID)

	if output, err := exec.Command("bin/cluster", "stop", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	checkNothingLeft(t, before, in)
	if _, err := os.Stat(filepath.Join(dir, "kubelet.log")); err != nil {
		t.Errorf("the named directory has to stay: %v", err)
	}
}

func TestNodeSaysWhichChildEnded(t *testing.T) {
	node := startNode(t)
	kill := exec.Command("nsenter", "-t", fmt.Sprint(node.PID), "-m", "-p", "pkill", "-9", "-f", "cluster kubelet")
	if output, err := kill.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	err := node.command.Wait()
	if exit := (&exec.ExitError{}); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("exit: %v, want status 1", err)
	}
	if want := "kubelet ended on its own (signal: killed)"; !strings.Contains(node.stderr.String(), want) {
		t.Errorf("%q is not in:\n%s", want, node.stderr.String())
	}
}

func TestNodeRefusesASecondOne(t *testing.T) {
	startNode(t)
	var stderr bytes.Buffer
	second := exec.Command("bin/cluster", "node")
	second.Stderr = &stderr
	stdin, err := second.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := second.Run(); err == nil || !strings.Contains(stderr.String(), "is another node up?") {
		t.Errorf("exit: %v, with: %s", err, stderr.String())
	}
}

func checkNothingLeft(t *testing.T, before machine, in map[string]string) {
	t.Helper()
	if running := inNamespaces(t, in); len(running) > 0 {
		t.Errorf("still running: %v", running)
	}
	for _, change := range lookAtMachine(t).changes(before) {
		t.Error(change)
	}
}
