package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd/api"
)

// nodeSummary is the one line on standard output: where the node is.
type nodeSummary struct {
	Server            string   `json:"server"`
	Kubeconfig        string   `json:"kubeconfig"`
	CA                string   `json:"ca"`
	Issuer            string   `json:"issuer"`
	Directory         string   `json:"directory"`
	Node              string   `json:"node"`
	NodeAddresses     []string `json:"nodeAddresses"`
	HostAddresses     []string `json:"hostAddresses"`
	PodCIDRs          []string `json:"podCIDRs"`
	ServiceCIDRs      []string `json:"serviceCIDRs"`
	DNS               string   `json:"dns"`
	IPv6              bool     `json:"ipv6"`
	PID               int      `json:"pid"`
	Supervisor        int      `json:"supervisor"`
	Containerd        string   `json:"containerd"`
	ReadyMilliseconds int64    `json:"readyMilliseconds"`
}

// node is a whole cluster on one node: what is decided before anything runs.
type node struct {
	dir        string
	images     []string
	network    network
	runc       string
	etcd       *etcd
	apiServer  *apiServer
	kubeconfig string
	cgroup     string
}

func runNode(args []string) int {
	started := time.Now()
	flags := flag.NewFlagSet("cluster node", flag.ContinueOnError)
	dir := flags.String("dir", "", "new or empty `directory` for keys, data and logs, kept afterwards (default: a temporary one, removed)")
	detached := flags.Bool("detach", false, "go on in the background once the node is ready (needs --dir)")
	var images []string
	flags.Func("image", "a `file` to import: an image as a tar archive of an OCI layout; may be repeated", func(file string) error {
		images = append(images, file)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || *detached && *dir == "" {
		fmt.Fprintln(os.Stderr, "usage: cluster node [--dir DIR] [--image FILE]..., or cluster node --detach --dir DIR [--image FILE]...")
		return 2
	}
	if *detached {
		return detach(*dir, images)
	}

	// As in runUp: the children die with the thread that started them.
	runtime.LockOSThread()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel(context.Canceled)
	}()

	if err := runNodeUntil(ctx, cancel, *dir, images, started); err != nil {
		fmt.Fprintf(os.Stderr, "cluster node: %v\n", err)
		return 1
	}
	return 0
}

// runNodeUntil runs the node until ctx ends. The namespaces end before the
// sweeper removes what they leave.
func runNodeUntil(ctx context.Context, cancel context.CancelCauseFunc, named string, images []string, started time.Time) error {
	runc, err := findTools()
	if err != nil {
		return err
	}
	dir, cleanUp, err := workDirectory(named)
	if err != nil {
		return err
	}
	defer cleanUp()
	if hidden(dir) {
		return fmt.Errorf("directory %s: name one that is not below %s, /run or /proc, which the node has for itself", dir, strings.Join(changed, ", "))
	}
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	namespaces, err := makeNamespaces(dir, cancel)
	if err != nil {
		return err
	}
	network := findNetwork()
	if err := network.connect(namespaces.pid()); err != nil {
		namespaces.end()
		return err
	}
	cgroup := fmt.Sprintf("cluster-node-%d", os.Getpid())
	left := cgroupDirectories(hierarchies, cgroup)
	if named == "" {
		left = append(left, dir)
	}
	sweeper, err := startSweeper(namespaces.pid(), left)
	if err != nil {
		namespaces.end()
		return err
	}
	defer sweeper.sweep()
	defer namespaces.end()
	if err := makeCgroups(hierarchies, cgroup); err != nil {
		return err
	}

	node, err := prepareNode(dir, runc, cgroup, network, images)
	if err != nil {
		return err
	}
	if err := node.run(ctx, namespaces, started); err != nil {
		if ctx.Err() != nil {
			return reason(ctx)
		}
		return err
	}
	<-ctx.Done()
	return reason(ctx)
}

func prepareNode(dir, runc, cgroup string, network network, images []string) (*node, error) {
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	address := net.ParseIP(nodeAddress)
	keys, err := makePKI(dir, address)
	if err != nil {
		return nil, err
	}
	etcd := newEtcd(dir, 2379, 2380)
	server, err := newAPIServer(dir, address, 6443, keys, etcd)
	if err != nil {
		return nil, err
	}
	toKubelet, err := keys.issueClient("apiserver-kubelet-client", "kube-apiserver", "system:masters")
	if err != nil {
		return nil, err
	}
	server.serviceCIDRs = strings.Join(network.serviceCIDRs(), ",")
	server.network = []string{
		"--bind-address=0.0.0.0",
		"--advertise-address=" + nodeAddress,
		"--client-ca-file=" + keys.caFile,
		"--kubelet-client-certificate=" + toKubelet.certFile,
		"--kubelet-client-key=" + toKubelet.keyFile,
		"--kubelet-certificate-authority=" + keys.caFile,
		"--kubelet-preferred-address-types=InternalIP",
		// A webhook behind a Service is dialled by the address of its pod.
		"--enable-aggregator-routing=true",
	}
	kubeconfig, err := writeKubeconfig(dir, "kubeconfig", server.url, keys.caPEM, &api.AuthInfo{Token: server.token})
	if err != nil {
		return nil, err
	}
	return &node{
		dir: dir, images: images, network: network, runc: runc,
		etcd: etcd, apiServer: server, kubeconfig: kubeconfig, cgroup: cgroup,
	}, nil
}

// run starts everything, and prints where it is once all of it is ready.
func (n *node) run(ctx context.Context, namespaces *namespaces, started time.Time) error {
	starting, stopStarting := context.WithTimeout(ctx, readyWithin)
	defer stopStarting()
	if err := n.startStores(namespaces); err != nil {
		return err
	}
	if err := n.importImages(starting, namespaces.pid()); err != nil {
		return err
	}
	bootstrap, err := newBootstrap(n.kubeconfig)
	if err != nil {
		return err
	}
	if err := bootstrap.waitForAPIServer(starting); err != nil {
		return n.notReady(err, "kube-apiserver")
	}
	// Not earlier: some end without an API server, others look for it again
	// only after a while.
	if err := n.startClients(namespaces); err != nil {
		return err
	}
	if err := n.waitForClients(starting, bootstrap); err != nil {
		return err
	}
	return n.tell(namespaces.pid(), time.Since(started))
}

func (n *node) startStores(namespaces *namespaces) error {
	containerd, err := containerdFlags(n.dir, n.runc, n.network)
	if err != nil {
		return err
	}
	return errors.Join(
		namespaces.startSelf("etcd", n.etcd.flags()),
		namespaces.startSelf("kube-apiserver", n.apiServer.flags()),
		namespaces.start("containerd", filepath.Join(toolsDirectory(), "containerd"), containerd),
	)
}

func (n *node) importImages(ctx context.Context, pid int) error {
	socket := fmt.Sprintf("/proc/%d/root%s", pid, containerdSocket)
	if err := poll(ctx, "waiting for containerd", func() error {
		_, err := os.Stat(socket)
		return err
	}); err != nil {
		return n.notReady(err, "containerd")
	}
	pause := filepath.Join(n.dir, "pause.tar")
	if err := writeImage(pause, pauseImage, filepath.Join(toolsDirectory(), "pause")); err != nil {
		return err
	}
	for _, image := range append([]string{pause}, n.images...) {
		if err := importImage(pid, image); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) startClients(namespaces *namespaces) error {
	kubelet, err := kubeletFlags(n.dir, n.cgroup, n.apiServer, n.network)
	if err != nil {
		return err
	}
	proxy, err := proxyFlags(n.dir, n.kubeconfig, n.network)
	if err != nil {
		return err
	}
	dns, err := dnsFlags(n.dir, n.kubeconfig)
	if err != nil {
		return err
	}
	return errors.Join(
		namespaces.startSelf("kube-controller-manager", controllerManagerFlags(n.kubeconfig, n.apiServer.keys)),
		namespaces.startSelf("kubelet", kubelet),
		namespaces.startSelf("kube-scheduler", schedulerFlags(n.kubeconfig)),
		namespaces.startSelf("kube-proxy", proxy),
		namespaces.start("coredns", filepath.Join(toolsDirectory(), "coredns"), dns),
	)
}

func (n *node) waitForClients(ctx context.Context, bootstrap *bootstrap) error {
	waits := []struct {
		component string
		wait      func(context.Context) error
	}{
		{"kube-apiserver", bootstrap.publishDiscovery},
		{"kube-apiserver", bootstrap.publishDNS},
		{"kube-controller-manager", bootstrap.waitForControllers},
		{"kubelet", bootstrap.waitForNode},
		{"kube-proxy", func(ctx context.Context) error { return waitForHTTP(ctx, "http://"+proxyHealth+"/healthz") }},
		{"coredns", func(ctx context.Context) error { return waitForHTTP(ctx, "http://"+dnsReady+"/ready") }},
	}
	for _, wait := range waits {
		if err := wait.wait(ctx); err != nil {
			return n.notReady(err, wait.component)
		}
	}
	return nil
}

func (n *node) notReady(err error, component string) error {
	return fmt.Errorf("not ready within %v: %w\n%s", readyWithin, err, lastLines(filepath.Join(n.dir, component+".log")))
}

func (n *node) tell(pid int, took time.Duration) error {
	line := nodeSummary{
		Server:            n.apiServer.url,
		Kubeconfig:        n.kubeconfig,
		CA:                n.apiServer.keys.caFile,
		Issuer:            n.apiServer.url,
		Directory:         n.dir,
		Node:              nodeName,
		NodeAddresses:     n.network.nodeAddresses(),
		HostAddresses:     n.network.hostAddresses(),
		PodCIDRs:          n.network.podCIDRs(),
		ServiceCIDRs:      n.network.serviceCIDRs(),
		DNS:               dnsAddress,
		IPv6:              n.network.ipv6,
		PID:               pid,
		Supervisor:        os.Getpid(),
		Containerd:        containerdSocket,
		ReadyMilliseconds: took.Milliseconds(),
	}
	if err := writeJSON(filepath.Join(n.dir, nodeSummaryFile), line); err != nil {
		return fmt.Errorf("writing where the node is: %w", err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		return fmt.Errorf("printing where the node is: %w", err)
	}
	return nil
}

func waitForHTTP(ctx context.Context, url string) error {
	return poll(ctx, "waiting for "+url, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
}

// findTools gives the path of runc, or an error that says what is missing.
func findTools() (runc string, err error) {
	if os.Geteuid() != 0 {
		return "", errors.New("a node needs root")
	}
	for _, tool := range []string{"runc", "nft", "ip", "nsenter"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			return "", fmt.Errorf("a node needs %s: install its package", tool)
		}
		if tool == "runc" {
			runc = path
		}
	}
	for _, tool := range []string{"containerd", "containerd-shim-runc-v2", "ctr", "bridge", "host-local", "loopback", "coredns", "pause"} {
		if _, err := os.Stat(filepath.Join(toolsDirectory(), tool)); err != nil {
			return "", fmt.Errorf("a node needs %s beside this binary: run `make node`", tool)
		}
	}
	return runc, nil
}

// toolsDirectory is where this binary is, and those that were built with it.
func toolsDirectory() string {
	self, err := os.Executable()
	if err != nil {
		return "."
	}
	return filepath.Dir(self)
}
