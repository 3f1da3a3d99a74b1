package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd/api"
)

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
		if err := importImage(ctx, pid, image); err != nil {
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
