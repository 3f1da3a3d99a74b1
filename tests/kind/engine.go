package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cmd"
)

const (
	// engineVariable is kind's own, by which its command line chooses too.
	engineVariable = "KIND_EXPERIMENTAL_PROVIDER"
	answersWithin  = 30 * time.Second
)

// engine runs containers.
type engine struct {
	name   string
	choice cluster.ProviderOption
}

func engines() []engine {
	return []engine{
		{"docker", cluster.ProviderWithDocker()},
		{"podman", cluster.ProviderWithPodman()},
		{"nerdctl", cluster.ProviderWithNerdctl("nerdctl")},
	}
}

// findEngine gives the first that answers. kind itself looks for its program
// only, and fails later when that has no daemon to speak to.
func findEngine() (engine, error) {
	candidates := engines()
	if named := os.Getenv(engineVariable); named != "" {
		candidates = slices.DeleteFunc(candidates, func(e engine) bool { return e.name != named })
		if len(candidates) == 0 {
			return engine{}, fmt.Errorf("%s is %q: docker, podman and nerdctl are known", engineVariable, named)
		}
	}
	var reasons []string
	for _, candidate := range candidates {
		err := candidate.answers()
		if err == nil {
			return candidate, nil
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", candidate.name, err))
	}
	return engine{}, fmt.Errorf("no container engine runs here, which kind needs (%s)", strings.Join(reasons, "; "))
}

func (e engine) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), answersWithin)
	defer cancel()
	_, err := output(exec.CommandContext(ctx, e.name, "info"))
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("not installed")
	case ctx.Err() != nil:
		return fmt.Errorf("no answer within %v", answersWithin)
	}
	return err
}

func (e engine) provider() *cluster.Provider {
	return cluster.NewProvider(e.choice, cluster.ProviderWithLogger(cmd.NewLogger()))
}

// inspect gives a field of a container, as a Go template.
func (e engine) inspect(container, field string) (string, error) {
	value, err := output(exec.Command(e.name, "inspect", "--format", field, container))
	if err != nil {
		return "", fmt.Errorf("asking %s about container %s: %w", e.name, container, err)
	}
	return value, nil
}

// output is what a command printed; its error is the last line of what it
// complained of.
func output(command *exec.Cmd) (string, error) {
	printed, err := command.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return "", errors.New(lines[len(lines)-1])
	}
	return strings.TrimSpace(string(printed)), err
}

func runEngine(args []string) int {
	if len(args) > 0 {
		return misused("usage: cluster engine")
	}
	found, err := findEngine()
	if err == nil {
		fmt.Println(found.name)
	}
	return ended("engine", err)
}
