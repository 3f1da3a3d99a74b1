package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Where no engine runs the targets fail and say so, before they build anything.
func TestMakeFailsWithoutAnEngine(t *testing.T) {
	t.Setenv(engineVariable, "docker")
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	// This may be run by make itself.
	for _, variable := range []string{"MAKEFLAGS", "MAKELEVEL", "MFLAGS"} {
		t.Setenv(variable, "")
		os.Unsetenv(variable)
	}
	for _, target := range []string{"kind-up", "kind-e2e", "kind-down"} {
		output, err := exec.Command("make", "-C", "../..", target).CombinedOutput()
		if err == nil {
			t.Errorf("make %s succeeded: %s", target, output)
		}
		if !strings.Contains(string(output), "no container engine runs here, which kind needs (docker: ") {
			t.Errorf("make %s: %v: %s", target, err, output)
		}
		if strings.Contains(string(output), "cargo") {
			t.Errorf("make %s goes on: %s", target, output)
		}
	}
}
