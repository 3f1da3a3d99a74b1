// Command cluster runs a Kubernetes of one node by kind, in a container. It has
// the command line of tests/cluster, so that the cases of tests/node run on
// either:
//
//	cluster node [--dir DIR] [--image FILE]... [--detach]
//	cluster import DIR FILE...
//	cluster stop DIR
//
// and, to ask beforehand whether a container engine runs,
//
//	cluster engine
//
// The engine is docker, podman or nerdctl: the first that answers, or the one
// that KIND_EXPERIMENTAL_PROVIDER names. `node` makes a cluster of the name
// identity-injector, prints one JSON line that says where things are, and ends
// the cluster at SIGTERM, SIGINT or the end of its standard input. With --detach
// it returns instead, and `stop` ends the cluster. The line is also kept as
// DIR/node.json; it reads, in one line:
//
//	{"server":"https://127.0.0.1:36443",           // from the host
//	 "kubeconfig":"DIR/kubeconfig","ca":"DIR/ca.crt",
//	 "issuer":"https://127.0.0.1:36443",           // discovery is public
//	 "directory":"DIR","node":"identity-injector-control-plane",
//	 "nodeAddresses":["172.18.0.2","fc00:f853:ccd:e793::2"],
//	 "hostAddresses":["172.18.0.1","fc00:f853:ccd:e793::1"], // where pods reach the host
//	 "ipv6":true,"pid":4711,                       // nsenter -t PID -n
//	 "readyMilliseconds":40000}
//
// Addresses of pods and Services are not reachable from the host. Killed by
// SIGKILL it leaves the cluster behind, for `stop` to end.
package main

import (
	"fmt"
	"os"
)

const usage = "usage: cluster node [--dir DIR] [--image FILE]... [--detach] | import DIR FILE... | stop DIR | engine"

// commands take the arguments after their name and give the exit code.
var commands = map[string]func(args []string) int{
	"node":   runNode,
	"import": runImport,
	"stop":   runStop,
	"engine": runEngine,
}

func main() {
	if len(os.Args) > 1 {
		if run, ok := commands[os.Args[1]]; ok {
			os.Exit(run(os.Args[2:]))
		}
	}
	os.Exit(misused(usage))
}

func misused(usage string) int {
	fmt.Fprintln(os.Stderr, usage)
	return 2
}

// ended gives the exit code of a command, and says why it failed.
func ended(command string, err error) int {
	if err != nil {
		fmt.Fprintf(os.Stderr, "cluster %s: %v\n", command, err)
		return 1
	}
	return 0
}
