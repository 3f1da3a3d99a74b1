package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestMain lets the test binary be each component, as the real one is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if run, ok := components[os.Args[1]]; ok {
			os.Exit(run(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

// running is a `cluster up` that printed its line.
type running struct {
	command *exec.Cmd
	stdin   io.Closer
	summary
}

func TestUpGivesAClusterThatTestsCanUse(t *testing.T) {
	cluster := startUp(t)
	ctx := t.Context()
	client := cluster.client(t)

	createPodInNewNamespace(ctx, t, client)

	header, claims := tokenParts(ctx, t, client)
	if header["alg"] != "RS256" {
		t.Errorf("token is signed with %v, want RS256", header["alg"])
	}
	if claims["iss"] != cluster.Issuer {
		t.Errorf("token is issued by %v, want %s", claims["iss"], cluster.Issuer)
	}
}

func TestUpLeavesNothingBehind(t *testing.T) {
	ends := map[string]func(running) error{
		"at the end of its input": func(c running) error { return c.stdin.Close() },
		"at SIGTERM":              func(c running) error { return c.command.Process.Signal(syscall.SIGTERM) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			cluster := startUp(t)
			if err := end(cluster); err != nil {
				t.Fatal(err)
			}
			if err := cluster.command.Wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
			for _, pid := range []int{cluster.EtcdPID, cluster.APIServerPID, cluster.ControllerManagerPID} {
				if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
					t.Errorf("process %d is still there", pid)
				}
			}
			if _, err := os.Stat(cluster.Directory); !os.IsNotExist(err) {
				t.Errorf("directory %s is still there", cluster.Directory)
			}
		})
	}
}

func TestUpSaysWhichChildEnded(t *testing.T) {
	children := map[string]func(summary) int{
		"etcd":                    func(s summary) int { return s.EtcdPID },
		"kube-apiserver":          func(s summary) int { return s.APIServerPID },
		"kube-controller-manager": func(s summary) int { return s.ControllerManagerPID },
	}
	for name, pid := range children {
		t.Run(name, func(t *testing.T) {
			var stderr strings.Builder
			cluster := startUp(t, func(c *exec.Cmd) { c.Stderr = &stderr })
			if err := syscall.Kill(pid(cluster.summary), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := cluster.command.Wait(); err == nil || cluster.command.ProcessState.ExitCode() != 1 {
				t.Errorf("exit: %v, want status 1", err)
			}
			if want := name + " ended on its own (signal: killed)"; !strings.Contains(stderr.String(), want) {
				t.Errorf("%q is not in:\n%s", want, stderr.String())
			}
		})
	}
}

func TestUpRefusesADirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := workDirectory(dir); err == nil {
		t.Error("a directory that is not empty was taken")
	}
}

func startUp(t *testing.T, options ...func(*exec.Cmd)) running {
	t.Helper()
	command := exec.Command(os.Args[0], "up")
	command.Stderr = os.Stderr
	for _, option := range options {
		option(command)
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("reading the line: %v", err)
	}
	cluster := running{command: command, stdin: stdin}
	if err := json.Unmarshal(line, &cluster.summary); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return cluster
}

// client is the admin's.
func (r running) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	bootstrap, err := newBootstrap(r.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return bootstrap.admin
}

func createNamespace(ctx context.Context, t *testing.T, client kubernetes.Interface, name string) string {
	t.Helper()
	namespace := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

func createPodInNewNamespace(ctx context.Context, t *testing.T, client kubernetes.Interface) {
	t.Helper()
	namespace := createNamespace(ctx, t, client, "fresh")
	pod := &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: "app"},
		Spec:       core.PodSpec{Containers: []core.Container{{Name: "app", Image: "app.test/app:1"}}},
	}
	if _, err := client.CoreV1().Pods(namespace).Create(ctx, pod, meta.CreateOptions{}); err != nil {
		t.Errorf("creating a pod right after its namespace: %v", err)
	}
}

func tokenParts(ctx context.Context, t *testing.T, client kubernetes.Interface) (header, claims map[string]any) {
	t.Helper()
	request := &authentication.TokenRequest{
		Spec: authentication.TokenRequestSpec{Audiences: []string{"api://AzureADTokenExchange"}},
	}
	answer, err := client.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", request, meta.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(answer.Status.Token, ".")
	for i, part := range []*map[string]any{&header, &claims} {
		content, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(content, part); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}
