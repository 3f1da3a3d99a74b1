package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// The addresses are fixed, so there is one node at a time on a machine: the
// issuer and whatever a test writes down can then be known beforehand.
const (
	hostAddress = "172.31.250.1"
	nodeAddress = "172.31.250.2"
	podCIDR     = "10.244.0.0/24"
	serviceCIDR = "10.96.0.0/16"
	dnsAddress  = "10.96.0.10"

	hostAddress6 = "fd00:172:31:250::1"
	nodeAddress6 = "fd00:172:31:250::2"
	podCIDR6     = "fd00:10:244::/64"
	serviceCIDR6 = "fd00:10:96::/112"

	hostLink = "cluster-node"
)

// firstServiceAddress is the one of the Service `kubernetes`.
var firstServiceAddress = net.IPv4(10, 96, 0, 1)

// network is what the node has: IPv6 only where the kernel has it.
type network struct {
	ipv6 bool
}

func findNetwork() network {
	_, err := os.Stat("/proc/net/if_inet6")
	return network{ipv6: err == nil}
}

func (n network) list(ipv4, ipv6 string) []string {
	if n.ipv6 {
		return []string{ipv4, ipv6}
	}
	return []string{ipv4}
}

func (n network) hostAddresses() []string { return n.list(hostAddress, hostAddress6) }
func (n network) nodeAddresses() []string { return n.list(nodeAddress, nodeAddress6) }
func (n network) podCIDRs() []string      { return n.list(podCIDR, podCIDR6) }
func (n network) serviceCIDRs() []string  { return n.list(serviceCIDR, serviceCIDR6) }

// connect joins the host and the namespaces of the process by a pair of links.
// They, and the host's routes over them, end with those namespaces.
func (n network) connect(pid int) error {
	host := []string{
		fmt.Sprintf("link add %s type veth peer name eth0 netns %d", hostLink, pid),
		"address add " + hostAddress + "/30 dev " + hostLink,
		"link set " + hostLink + " up",
	}
	node := []string{
		"link set lo up",
		"address add " + nodeAddress + "/30 dev eth0",
		"link set eth0 up",
		// Nothing answers there: it is for kube-proxy to see what the node itself
		// sends to a Service, as there is no default route.
		"route add " + serviceCIDR + " dev eth0 src " + nodeAddress,
	}
	routes := []string{
		"route add " + podCIDR + " via " + nodeAddress,
		"route add " + serviceCIDR + " via " + nodeAddress,
	}
	if n.ipv6 {
		host = append(host, "address add "+hostAddress6+"/126 dev "+hostLink+" nodad")
		node = append(node,
			"address add "+nodeAddress6+"/126 dev eth0 nodad",
			"route add "+serviceCIDR6+" dev eth0 src "+nodeAddress6)
		routes = append(routes,
			"route add "+podCIDR6+" via "+nodeAddress6,
			"route add "+serviceCIDR6+" via "+nodeAddress6)
	}
	if err := runBatch(exec.Command("ip", "-batch", "-"), host); err != nil {
		return fmt.Errorf("connecting the node to the host (is another node up?): %w", err)
	}
	inNode := exec.Command("nsenter", "-t", strconv.Itoa(pid), "-n", "ip", "-batch", "-")
	if err := runBatch(inNode, node); err != nil {
		return fmt.Errorf("giving the node its addresses: %w", err)
	}
	if err := runBatch(exec.Command("ip", "-batch", "-"), routes); err != nil {
		return fmt.Errorf("leading the host to the pods: %w", err)
	}
	return nil
}

func runBatch(ip *exec.Cmd, lines []string) error {
	ip.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	return runQuietly(ip)
}

// runQuietly runs a command; what it printed is told only if it failed.
func runQuietly(command *exec.Cmd) error {
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, bytes.TrimSpace(output))
	}
	return nil
}

// networkSettings are those of the namespace, each a file below /proc/sys/net.
func networkSettings(ipv6 bool) map[string]string {
	settings := map[string]string{"ipv4/ip_forward": "1"}
	if ipv6 {
		settings["ipv6/conf/all/forwarding"] = "1"
		// Nobody else is there whose address it could be: do not wait for them.
		settings["ipv6/conf/default/accept_dad"] = "0"
	}
	return settings
}

// cniConfiguration is a bridge for all pods, each with an address per family.
func (n network) cniConfiguration() map[string]any {
	var ranges [][]map[string]string
	for _, cidr := range n.podCIDRs() {
		ranges = append(ranges, []map[string]string{{"subnet": cidr}})
	}
	var routes []map[string]string
	for _, everything := range n.list("0.0.0.0/0", "::/0") {
		routes = append(routes, map[string]string{"dst": everything})
	}
	return map[string]any{
		"cniVersion": "1.0.0",
		"name":       "pods",
		"plugins": []map[string]any{{
			"type":        "bridge",
			"bridge":      "cni0",
			"isGateway":   true,
			"hairpinMode": true,
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": "/run/cni",
				"ranges":  ranges,
				"routes":  routes,
			},
		}},
	}
}
