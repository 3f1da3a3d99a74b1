// Command cluster runs a real Kubernetes on one machine, as ordinary processes,
// for tests that need the genuine article and no container engine.
//
//	cluster up [--dir DIR] [--port PORT]
//
// runs a control plane on loopback: etcd, the API server and the
// controller-manager. There is no node, so pods are made but never run.
//
//	cluster node [--dir DIR] [--image FILE]... [--detach]
//
// runs a whole cluster of one node that runs pods, in network, mount and pid
// namespaces of its own: the above with scheduler, containerd, kubelet,
// kube-proxy and CoreDNS. It needs root, runc, nft and what `make node` builds.
// Each FILE is an image, as a tar archive of an OCI layout, to be had from the
// start. With --detach it goes on in the background once it is ready.
//
//	cluster import DIR FILE...
//
// gives the node with that directory further images, and
//
//	cluster stop DIR
//
// ends it. Both `up` and `node` make throw-away keys, print one JSON line that
// says where things are once they are ready, and run until SIGTERM, SIGINT or,
// unless detached, the end of their standard input. The line of `node` is also
// kept as DIR/node.json; on this machine it reads, in one line:
//
//	{"server":"https://172.31.250.2:6443",         // from the host and from pods
//	 "kubeconfig":"DIR/kubeconfig","ca":"DIR/ca.crt",
//	 "issuer":"https://172.31.250.2:6443",         // discovery is public
//	 "directory":"DIR","node":"node1",
//	 "nodeAddresses":["172.31.250.2","fd00:172:31:250::2"],
//	 "hostAddresses":["172.31.250.1","fd00:172:31:250::1"], // where pods reach the host
//	 "podCIDRs":["10.244.0.0/24","fd00:10:244::/64"],       // reachable from the host
//	 "serviceCIDRs":["10.96.0.0/16","fd00:10:96::/112"],    // reachable from the host
//	 "dns":"10.96.0.10","ipv6":true,               // if not, each list has one entry
//	 "pid":4711,                                   // nsenter -t PID -n -m -p
//	 "supervisor":4710,                            // SIGTERM ends everything
//	 "containerd":"/run/containerd/containerd.sock", // within the namespaces
//	 "readyMilliseconds":6000}
//
// Killing it, even by SIGKILL, leaves nothing behind but a DIR that was named.
// The other components are this same binary, called again: `cluster etcd ...`,
// `cluster kubelet ...` and so on.
//
// Build it with
//
//	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w \
//	  -X k8s.io/component-base/version.gitVersion=v1.36.3 \
//	  -X k8s.io/component-base/version.gitMajor=1 \
//	  -X k8s.io/component-base/version.gitMinor=36" -o bin/cluster .
//
// and keep CGO_ENABLED=0 and -trimpath for `go vet` and `go test` too: each
// differing setting compiles all of Kubernetes once more.
package main

import (
	"context"
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubeapiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kubecontrollermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubescheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// components are what the binary can be, by its first argument. Each takes the
// arguments after that one and gives the exit code.
var components = map[string]func(args []string) int{
	"up":                      runUp,
	"node":                    runNode,
	"import":                  runImport,
	"stop":                    runStop,
	"node-init":               runNodeInit,
	"node-sweep":              runSweep,
	"etcd":                    runEtcd,
	"kube-apiserver":          runAPIServer,
	"kube-controller-manager": runControllerManager,
	"kube-scheduler":          runScheduler,
	"kube-proxy":              runProxy,
	"kubelet":                 runKubelet,
}

func main() {
	if len(os.Args) > 1 {
		if run, ok := components[os.Args[1]]; ok {
			os.Exit(run(os.Args[2:]))
		}
	}
	fmt.Fprintln(os.Stderr, "usage: cluster up [--dir DIR] [--port PORT] | node [--dir DIR] [--image FILE]... [--detach] | import DIR FILE... | stop DIR | COMPONENT FLAGS")
	os.Exit(2)
}

func runEtcd(args []string) int {
	etcdmain.Main(append([]string{"etcd"}, args...))
	return 0
}

func runAPIServer(args []string) int {
	command := kubeapiserver.NewAPIServerCommand()
	command.SetArgs(args)
	return cli.Run(command)
}

func runControllerManager(args []string) int {
	command := kubecontrollermanager.NewControllerManagerCommand()
	command.SetArgs(args)
	return cli.Run(command)
}

func runScheduler(args []string) int {
	command := kubescheduler.NewSchedulerCommand()
	command.SetArgs(args)
	return cli.Run(command)
}

func runProxy(args []string) int {
	command := kubeproxy.NewProxyCommand()
	command.SetArgs(args)
	return cli.Run(command)
}

func runKubelet(args []string) int {
	command := kubelet.NewKubeletCommand(context.Background())
	command.SetArgs(args)
	return cli.Run(command)
}
