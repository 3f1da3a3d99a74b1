package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	serverHost = "127.0.0.1"
	serverPort = 36443
)

var serverURL = fmt.Sprintf("https://%s:%d", serverHost, serverPort)

// What kind makes of our configuration, and kubeadm of that.
func TestTheAPIServerIsAsTheCasesNeedIt(t *testing.T) {
	dir := kubeadmDirectory(t)
	t.Run("flags: the issuer is where the host finds it, both families", func(t *testing.T) {
		runKubeadm(t, dir, "control-plane", "apiserver", "--dry-run")
		manifest := read(t, filepath.Join(dir, "kube-apiserver.yaml"))
		for flag, value := range map[string]string{
			"service-account-issuer":   serverURL,
			"service-account-jwks-uri": serverURL + "/openid/v1/jwks",
			"service-cluster-ip-range": "10.96.0.0/16,fd00:10:96::/112",
		} {
			flag = "--" + flag + "="
			if strings.Count(manifest, flag) != 1 || !strings.Contains(manifest, flag+value+"\n") {
				t.Errorf("not once %s%s in\n%s", flag, value, manifest)
			}
		}
	})
	t.Run("certificate: for the issuer too", func(t *testing.T) {
		runKubeadm(t, dir, "certs", "ca")
		runKubeadm(t, dir, "certs", "apiserver")
		block, _ := pem.Decode([]byte(read(t, filepath.Join(dir, "apiserver.crt"))))
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err == nil {
			err = certificate.VerifyHostname(serverHost)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// kubeadmDirectory has what kind wrote for our configuration, changed so that
// kubeadm writes there too.
func kubeadmDirectory(t *testing.T) string {
	t.Helper()
	script := startScript(t, nil)
	engine, err := findEngine()
	if err != nil {
		t.Fatal(err)
	}
	if err := openCluster(engine, t.TempDir()).create(configuration); err != nil {
		t.Fatal(err)
	}
	written := read(t, script.node(kubeadmConfig))
	if !strings.HasPrefix(written, "apiServer:") {
		t.Fatalf("the first document is not the cluster's:\n%s", written)
	}
	dir := t.TempDir()
	changed := "certificatesDir: " + dir + "\n" + written
	if err := os.WriteFile(filepath.Join(dir, "kubeadm.conf"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runKubeadm runs a phase of `kubeadm init`.
func runKubeadm(t *testing.T, dir string, phase ...string) {
	t.Helper()
	t.Setenv("KUBEADM_INIT_DRYRUN_DIR", dir)
	args := slices.Concat([]string{"init", "phase"}, phase, []string{"--config", filepath.Join(dir, "kubeadm.conf")})
	if output, err := exec.Command(kubeadm(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("kubeadm %v: %v: %s", args, err, output)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// kind's own parser and validation, and kubeadm's, on ours with one thing broken.
func TestBrokenConfigurationsAreRefused(t *testing.T) {
	for _, broken := range []struct{ name, old, new, reason string }{
		{"an unknown field", "networking:", "networks:", "field networks not found"},
		{"a field of another type", "apiServerPort: 36443", "apiServerPort: https", "cannot unmarshal"},
		{"not YAML", "networking:", "networking", "could not determine kind"},
		{"an API of another time", "v1alpha4", "v1alpha3", "unknown apiVersion"},
		{"an unknown kind", "kind: Cluster\n", "kind: Clusters\n", "unknown kind"},
		{"no port", "36443", "70000", "invalid port number: 70000"},
		{"no address family", "ipFamily: dual", "ipFamily: both", "invalid ipFamily: both"},
		{"a subnet of the other family", "ipFamily: dual", "ipFamily: ipv4\n  podSubnet: fd00::/64", "expected IPv4 CIDR"},
		{"no subnet", "ipFamily: dual", "ipFamily: dual\n  serviceSubnet: 10.96.0.0", "invalid service subnet"},
		{"no way for Services", "ipFamily: dual", "ipFamily: dual\n  kubeProxyMode: magic", "invalid kubeProxyMode: magic"},
		{"no role", "networking:", "nodes: [{role: master}]\nnetworking:", `"master" is not a valid node role`},
		{"no control plane", "networking:", "nodes: [{role: worker}]\nnetworking:", "must have at least one control-plane node"},
		{"a patch that is not YAML", "apiServer:\n", "apiServer: {\n", "failed to parse patches"},
		{"a patch with an unknown field", "apiServer:\n", "apiServers:\n", `unknown field "apiServers"`},
		{"a patch with no address", "extraArgs:\n", "certSANs: ['127.0.0.1/8']\n      extraArgs:\n", "apiServer.certSANs"},
	} {
		t.Run(broken.name, func(t *testing.T) {
			script := startScript(t, nil)
			engine, err := findEngine()
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.ReplaceAll(string(configuration), broken.old, broken.new)
			if changed == string(configuration) {
				t.Fatalf("ours has no %q", broken.old)
			}
			err = openCluster(engine, t.TempDir()).create([]byte(changed))
			if err == nil || !strings.Contains(err.Error(), broken.reason) {
				t.Errorf("%v, not for %q", err, broken.reason)
			}
			if script.isRunning() {
				t.Error("a container is left")
			}
		})
	}
}

// The whole life of a cluster, by the command line.
func TestNodeSpeaksAsTestsClusterDoes(t *testing.T) {
	script := startServer(t, serverURL)
	dir := filepath.Join(t.TempDir(), "node")
	command := exec.Command("cluster", "node", "--dir", dir)
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]any
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		t.Fatal(err)
	}
	delete(said, "readyMilliseconds")
	expected := map[string]any{
		"server":        serverURL,
		"issuer":        serverURL,
		"directory":     dir,
		"kubeconfig":    filepath.Join(dir, "kubeconfig"),
		"ca":            filepath.Join(dir, "ca.crt"),
		"node":          scriptedNode,
		"nodeAddresses": []any{"172.18.0.2", "fc00::2"},
		"hostAddresses": []any{"127.0.0.1"},
		"ipv6":          true,
		"pid":           4711.0,
	}
	if fmt.Sprint(said) != fmt.Sprint(expected) {
		t.Errorf("said\n%v, expected\n%v", said, expected)
	}
	if kept := read(t, filepath.Join(dir, "node.json")); kept != line {
		t.Errorf("kept\n%s, said\n%s", kept, line)
	}
	public := "create clusterrolebinding public-service-account-issuer-discovery"
	if !slices.ContainsFunc(script.asked(), func(line string) bool { return strings.Contains(line, public) }) {
		t.Error("discovery was not made public")
	}

	archive := filepath.Join(t.TempDir(), "image.tar")
	const image = "an image"
	if err := os.WriteFile(archive, []byte(image), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("cluster", "import", dir, archive).CombinedOutput(); err != nil {
		t.Errorf("import: %v: %s", err, output)
	}
	if imported := read(t, script.node("imported")); imported != image {
		t.Errorf("imported %q", imported)
	}

	input.Close()
	if err := command.Wait(); err != nil {
		t.Errorf("its end: %v", err)
	}
	if script.isRunning() {
		t.Error("the container is left")
	}
}

func TestDetachedItStaysUntilStop(t *testing.T) {
	script := startServer(t, serverURL)
	dir := t.TempDir()
	if output, err := exec.Command("cluster", "node", "--detach", "--dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if !script.isRunning() {
		t.Fatal("the container is gone")
	}
	// Twice: what is not there needs no stop.
	for range 2 {
		if output, err := exec.Command("cluster", "stop", dir).CombinedOutput(); err != nil {
			t.Errorf("stop: %v: %s", err, output)
		}
	}
	if script.isRunning() {
		t.Error("the container is left")
	}
}

// kind accepts a patch that changes nothing; its cluster has kubeadm's issuer.
func TestAnIssuerElsewhereIsRefused(t *testing.T) {
	script := startServer(t, "https://kubernetes.default.svc.cluster.local")
	command := exec.Command("cluster", "node")
	if _, err := command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "the issuer says it is https://kubernetes.default.svc.cluster.local") {
		t.Errorf("%v: %s", err, output)
	}
	if script.isRunning() {
		t.Error("a container is left")
	}
}

// startServer puts the engine on the PATH, and the API server's discovery where
// the host finds it.
func startServer(t *testing.T, issuer string) scriptedEngine {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", serverHost, serverPort))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == discoveryPath {
			_, _ = io.WriteString(w, fmt.Sprintf(`{"issuer": %q}`, issuer))
		}
	}))
	server.Listener.Close()
	server.Listener = listener
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return startScript(t, certificate)
}
