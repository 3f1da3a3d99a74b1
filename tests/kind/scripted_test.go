package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The tests' container engine: this binary under the name docker. It answers
// what kind asks of docker and of the node in the container, and keeps what it
// was told in a directory. Of the node's programs kubeadm is real, but only reads
// its configuration.
const (
	scriptVariable  = "SCRIPTED_ENGINE"
	kubeadmVariable = "KUBEADM"

	scriptedNode = clusterName + "-control-plane"
	// The node's Kubernetes, as its kubeadm is.
	scriptedVersion = "v1.36.3"
	kubeadmConfig   = "/kind/kubeadm.conf"
)

func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "docker":
		os.Exit(scriptedEngine(os.Getenv(scriptVariable)).run(os.Args[1:]))
	case "cluster":
		main()
	}
	os.Exit(m.Run())
}

// scriptedEngine is its directory: `asked` has a line for each command, `running`
// is there while the container is, `node` has the node's files.
type scriptedEngine string

func (s scriptedEngine) path(name string) string { return filepath.Join(string(s), name) }

func (s scriptedEngine) node(file string) string { return filepath.Join(string(s), "node", file) }

func (s scriptedEngine) isRunning() bool {
	_, err := os.Stat(s.path("running"))
	return err == nil
}

// asked gives the commands so far, each in one line.
func (s scriptedEngine) asked() []string {
	content, _ := os.ReadFile(s.path("asked"))
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

func (s scriptedEngine) note(args []string) {
	file, err := os.OpenFile(s.path("asked"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintf(file, "%s\n", strings.ReplaceAll(strings.Join(args, " "), "\n", " "))
		err = file.Close()
	}
	if err != nil {
		panic(err)
	}
}

var published = regexp.MustCompile(`--publish=(\S+):(\d+):6443/TCP`)

// run answers one command of docker's.
func (s scriptedEngine) run(args []string) int {
	s.note(args)
	whole := strings.Join(args, " ")
	for _, answer := range []struct {
		to   string
		says string
	}{
		{"info --format {{json .}}", `{"CgroupDriver": "systemd", "CgroupVersion": "2", "MemoryLimit": true, "PidsLimit": true, "CPUShares": true}`},
		{"info", ""},
		{"inspect --type=image", "[]"},
		{"network ls", "n1"},
		{"logs -f " + scriptedNode, "Reached target Multi-User System."},
		{`inspect --format {{ index .Config.Labels "io.x-k8s.kind.role"}}`, "control-plane"},
		{`inspect --format {{ index .Config.Labels "desktop.docker.io`, ""},
		{"inspect --format {{.State.Pid}} " + scriptedNode, "4711"},
		{"inspect -f {{range .NetworkSettings.Networks}}", "172.18.0.2,fc00::2"},
	} {
		if strings.HasPrefix(whole, answer.to) {
			fmt.Println(answer.says)
			return 0
		}
	}
	switch {
	case args[0] == "ps":
		if s.isRunning() {
			fmt.Println(scriptedNode)
		}
		return 0
	case args[0] == "run":
		port := published.FindStringSubmatch(whole)
		return code(os.WriteFile(s.path("running"), []byte(port[1]+"\t"+port[2]), 0o600))
	case strings.HasPrefix(whole, "inspect --format {{ with (index (index .NetworkSettings.Ports"):
		content, err := os.ReadFile(s.path("running"))
		fmt.Println(string(content))
		return code(err)
	case whole == "rm -f -v "+scriptedNode:
		return code(os.Remove(s.path("running")))
	case args[0] == "exec":
		return s.exec(args[slices.Index(args, scriptedNode)+1:])
	}
	fmt.Fprintf(os.Stderr, "not in the script: %s\n", whole)
	return 125
}

// exec runs one command on the node.
func (s scriptedEngine) exec(args []string) int {
	whole := strings.Join(args, " ")
	switch {
	case args[0] == "cat":
		content, err := os.ReadFile(s.node(args[1]))
		os.Stdout.Write(content)
		return code(err)
	case args[0] == "cp" && args[1] == "/dev/stdin":
		return s.keep(args[2])
	case strings.Contains(whole, "images import"):
		return s.keep("imported")
	case whole == "containerd config dump":
		fmt.Print("version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\nsnapshotter = \"overlayfs\"\n")
		return 0
	case whole == "ip -json -4 route show default":
		// An address of this machine, and one of another.
		fmt.Println(`[{"dst": "default", "gateway": "127.0.0.1"}, {"dst": "default", "gateway": "192.0.2.1"}]`)
		return 0
	case whole == "ip -json -6 route show default":
		fmt.Println(`[]`)
		return 0
	case args[0] == "kubeadm":
		kubeadm := exec.Command(os.Getenv(kubeadmVariable), "config", "validate", "--config", s.node(kubeadmConfig))
		kubeadm.Stdout, kubeadm.Stderr = os.Stdout, os.Stderr
		return code(kubeadm.Run())
	case args[0] == "mkdir", args[0] == "kubectl":
		return 0
	}
	fmt.Fprintf(os.Stderr, "not in the node's script: %s\n", whole)
	return 127
}

func (s scriptedEngine) keep(file string) int {
	content, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = s.write(file, content)
	}
	return code(err)
}

func (s scriptedEngine) write(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(s.node(file)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(s.node(file), content, 0o600)
}

func code(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func kubeadm(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs("../cluster/bin/kubeadm")
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		t.Fatalf("kubeadm is not built, run `make kubeadm`: %v", err)
	}
	return file
}

// startScript puts the engine on the PATH, its node's API server having that CA.
func startScript(t *testing.T, caPEM []byte) scriptedEngine {
	t.Helper()
	script := scriptedEngine(t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	programs := t.TempDir()
	for _, name := range []string{"docker", "cluster"} {
		if err := os.Symlink(self, filepath.Join(programs, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", programs)
	t.Setenv(scriptVariable, string(script))
	t.Setenv(engineVariable, "docker")
	t.Setenv(kubeadmVariable, kubeadm(t))
	kubeconfig := map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": "admin",
		"clusters": []any{map[string]any{"name": "kind", "cluster": map[string]any{
			"server": fmt.Sprintf("https://%s:6443", scriptedNode), "certificate-authority-data": caPEM,
		}}},
		"users":    []any{map[string]any{"name": "admin", "user": map[string]any{}}},
		"contexts": []any{map[string]any{"name": "admin", "context": map[string]any{"cluster": "kind", "user": "admin"}}},
	}
	encoded, err := json.Marshal(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{
		"/kind/version":                        []byte(scriptedVersion),
		"/kind/manifests/default-cni.yaml":     []byte("kind: List\n"),
		"/kind/manifests/default-storage.yaml": []byte("kind: List\n"),
		"/etc/kubernetes/admin.conf":           encoded,
		caOnNode:                               caPEM,
	} {
		if err := script.write(file, content); err != nil {
			t.Fatal(err)
		}
	}
	return script
}
