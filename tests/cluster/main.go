// Command cluster runs a real Kubernetes control plane on loopback, as ordinary
// processes, for tests that need the genuine article and no container engine:
// etcd, the API server and the controller-manager. There is no node and no
// scheduler, so pods are made but never run.
//
//	cluster up [--dir DIR] [--port PORT]
//
// makes throw-away keys, starts them, prints one JSON line that says where
// they are once they are ready, and runs until SIGTERM, SIGINT or the end of
// its standard input. The other components are this same binary, called again
// by `up`: `cluster etcd ...`, `cluster kube-apiserver ...` and so on.
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
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubeapiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kubecontrollermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// components are what the binary can be, by its first argument. Each takes the
// arguments after that one and gives the exit code.
var components = map[string]func(args []string) int{
	"up":                      runUp,
	"etcd":                    runEtcd,
	"kube-apiserver":          runAPIServer,
	"kube-controller-manager": runControllerManager,
}

func main() {
	if len(os.Args) > 1 {
		if run, ok := components[os.Args[1]]; ok {
			os.Exit(run(os.Args[2:]))
		}
	}
	fmt.Fprintln(os.Stderr, "usage: cluster up [--dir DIR] [--port PORT], or cluster etcd|kube-apiserver|kube-controller-manager FLAGS")
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
