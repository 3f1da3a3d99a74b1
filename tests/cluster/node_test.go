//go:build node

// These need root, and what `make node` builds: `make test-node`.

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
)

const importedImage = "cluster.test/imported:1"

func TestNodeRunsPods(t *testing.T) {
	node := startNode(t)
	t.Logf("ready in %d ms", node.ReadyMilliseconds)
	pods := pods{client: node.client(t), namespace: "default"}
	server := pods.startServer(t)

	t.Run("what a pod sees", func(t *testing.T) { podSees(t, pods, node, server) })
	t.Run("logs and exec come from the kubelet", func(t *testing.T) { logsAndExec(t, pods, node) })
	t.Run("the host reaches pods and Services", func(t *testing.T) { hostReaches(t, node, server) })
	t.Run("an image can be imported later", func(t *testing.T) { importLater(t, pods, node) })
	t.Run("a container over its memory is killed", func(t *testing.T) { memoryEnds(t, pods) })
	t.Run("a killed container starts again", func(t *testing.T) { killedStartsAgain(t, pods, node) })
}

func podSees(t *testing.T, pods pods, node runningNode, server *core.Pod) {
	host := serveOnHost(t, node.HostAddresses)
	runtimeDefault := &core.SecurityContext{SeccompProfile: &core.SeccompProfile{Type: core.SeccompProfileTypeRuntimeDefault}}
	cases := []struct {
		name  string
		probe []string
		phase core.PodPhase
		want  string
	}{
		{"the API server by name", []string{"resolve", "kubernetes.default.svc.cluster.local"}, core.PodSucceeded, "10.96.0.1"},
		{"a Service by its short name", []string{"get", "http://server"}, core.PodSucceeded, "200 OK\nyou are 10.244.0."},
		{"the API server by the Service's address", []string{"get", "https://10.96.0.1/readyz"}, core.PodSucceeded, "200 OK\nok"},
		{"no name outside", []string{"resolve", "login.example.test"}, core.PodFailed, "no such host"},
		{"the host", []string{"get", host[0]}, core.PodSucceeded, "you are 10.244.0."},
		{"a seccomp filter", []string{"status", "Seccomp"}, core.PodSucceeded, "Seccomp:\t2"},
		{"another pod, by IPv6", []string{"get", "http://[" + podIPv6(server) + "]:8080"}, core.PodSucceeded, "you are [fd00:10:244::"},
		{"the host, by IPv6", []string{"get", host[len(host)-1]}, core.PodSucceeded, "you are [fd00:10:244::"},
	}
	for i, test := range cases {
		if strings.HasSuffix(test.name, "IPv6") && !node.IPv6 {
			t.Logf("%s: the kernel has no IPv6", test.name)
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// Two containers, as with a sidecar.
			pod := podOf(fmt.Sprintf("sees-%d", i), probe("one", test.probe...), probe("two", test.probe...))
			for j := range pod.Spec.Containers {
				pod.Spec.Containers[j].SecurityContext = runtimeDefault
			}
			pods.submit(t, pod)
			pods.wait(t, pod.Name, func(pod *core.Pod) bool { return pod.Status.Phase == test.phase })
			for _, container := range []string{"one", "two"} {
				if log := pods.log(t, pod.Name, container); !strings.Contains(log, test.want) {
					t.Errorf("%s: %q is not in %q", container, test.want, log)
				}
			}
		})
	}
}

func podIPv6(pod *core.Pod) string {
	for _, ip := range pod.Status.PodIPs {
		if strings.Contains(ip.IP, ":") {
			return ip.IP
		}
	}
	return "none"
}

func logsAndExec(t *testing.T, pods pods, node runningNode) {
	if log := pods.log(t, "server", "server"); log != "serving :8080\n" {
		t.Errorf("log %q", log)
	}
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	request := pods.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(pods.namespace).Name("server").
		SubResource("exec").VersionedParams(&core.PodExecOptions{
		Container: "server", Command: []string{"/probe", "fail"}, Stdout: true, Stderr: true,
	}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(config, "GET", request.URL().String())
	if err != nil {
		t.Fatal(err)
	}
	err = executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("exec: %v, want exit code 3", err)
	}
}

func hostReaches(t *testing.T, node runningNode, server *core.Pod) {
	service, err := node.client(t).CoreV1().Services("default").Get(t.Context(), "server", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	urls := []string{"http://" + server.Status.PodIP + ":8080", "http://" + service.Spec.ClusterIP}
	if node.IPv6 {
		urls = append(urls, "http://["+podIPv6(server)+"]:8080")
	}
	for _, url := range urls {
		answer, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
		if err != nil {
			t.Error(err)
			continue
		}
		answer.Body.Close()
	}
}

func importLater(t *testing.T, pods pods, node runningNode) {
	archive := filepath.Join(t.TempDir(), "imported.tar")
	if err := writeImage(archive, importedImage, buildProbe(t)); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("bin/cluster", "import", node.Directory, archive).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	container := probe("imported", "status", "Name")
	container.Image = importedImage
	pods.submit(t, podOf("imported", container))
	pods.wait(t, "imported", func(pod *core.Pod) bool { return pod.Status.Phase == core.PodSucceeded })
}

func memoryEnds(t *testing.T, pods pods) {
	container := probe("greedy", "fill")
	container.Resources.Limits = core.ResourceList{core.ResourceMemory: resource.MustParse("32Mi")}
	pods.submit(t, podOf("greedy", container))
	pod := pods.wait(t, "greedy", func(pod *core.Pod) bool { return pod.Status.Phase == core.PodFailed })
	if got := pod.Status.ContainerStatuses[0].State.Terminated.Reason; got != "OOMKilled" {
		t.Errorf("ended by %s, want OOMKilled", got)
	}
}

func killedStartsAgain(t *testing.T, pods pods, node runningNode) {
	kill := exec.Command("nsenter", "-t", fmt.Sprint(node.PID), "-m", "-p", "sh", "-c", `kill -9 $(pgrep -f "^/probe serve")`)
	if output, err := kill.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	pods.wait(t, "server", func(pod *core.Pod) bool {
		status := pod.Status.ContainerStatuses[0]
		return status.RestartCount == 1 && status.Ready
	})
}

// serveOnHost answers pods on the host's ends, and gives the URLs.
func serveOnHost(t *testing.T, addresses []string) []string {
	var urls []string
	for _, address := range addresses {
		listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "you are", r.RemoteAddr)
		})}
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
		urls = append(urls, "http://"+listener.Addr().String())
	}
	return urls
}

// runningNode is a `cluster node` that printed its line.
type runningNode struct {
	command *exec.Cmd
	stdin   io.Closer
	stderr  *bytes.Buffer
	nodeSummary
}

func (n runningNode) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	return running{summary: summary{Kubeconfig: n.Kubeconfig}}.client(t)
}

// startNode starts the built binary, since the others have to be beside it.
func startNode(t *testing.T, environment ...string) runningNode {
	t.Helper()
	image := filepath.Join(t.TempDir(), "probe.tar")
	if err := writeImage(image, probeImage, buildProbe(t)); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("bin/cluster", "node", "--image", image)
	command.Env = append(os.Environ(), environment...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	// Its sweeper inherits the pipe of stderr, and may end after it.
	command.WaitDelay = sweepWithin
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("%v (`make node` builds it)", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		_ = command.Wait()
		t.Fatalf("no line: %s", stderr.String())
	}
	node := runningNode{command: command, stdin: stdin, stderr: &stderr}
	if err := json.Unmarshal(line, &node.nodeSummary); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return node
}

func buildProbe(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "probe")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // It is alone in its image.
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return program
}
