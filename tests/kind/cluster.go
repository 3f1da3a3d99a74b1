package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
	"sigs.k8s.io/kind/pkg/exec"
)

const (
	// There is one such cluster at a time on a machine: its port is fixed.
	clusterName = "identity-injector"
	caOnNode    = "/etc/kubernetes/pki/ca.crt"
)

//go:embed cluster.yaml
var configuration []byte

// kindCluster is the cluster of that name, whether it exists or not.
type kindCluster struct {
	engine   engine
	provider *cluster.Provider
	dir      string
}

func openCluster(engine engine, dir string) *kindCluster {
	return &kindCluster{engine: engine, provider: engine.provider(), dir: dir}
}

func (c *kindCluster) kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// create makes it, or leaves nothing behind.
func (c *kindCluster) create(configuration []byte) error {
	err := c.provider.Create(clusterName,
		cluster.CreateWithRawConfig(configuration),
		cluster.CreateWithKubeconfigPath(c.kubeconfig()))
	return explained("creating the cluster", err)
}

func (c *kindCluster) delete() error {
	return explained("deleting the cluster", c.provider.Delete(clusterName, c.kubeconfig()))
}

// ready makes of a fresh cluster one that a test can use, and says where it is.
func (c *kindCluster) ready(ctx context.Context, images []string, started time.Time) error {
	node, err := c.node()
	if err != nil {
		return err
	}
	if err := settle(node); err != nil {
		return err
	}
	if err := c.load(images); err != nil {
		return err
	}
	summary, err := c.look(node)
	if err != nil {
		return err
	}
	if summary.Issuer, err = findIssuer(ctx, summary.Server, summary.CA); err != nil {
		return err
	}
	summary.ReadyMilliseconds = time.Since(started).Milliseconds()
	return summary.tell()
}

func (c *kindCluster) node() (nodes.Node, error) {
	nodes, err := c.provider.ListInternalNodes(clusterName)
	if err != nil {
		return nil, explained("looking for the node", err)
	}
	if len(nodes) != 1 {
		return nil, fmt.Errorf("the cluster %s has %d nodes, not 1: is it running?", clusterName, len(nodes))
	}
	return nodes[0], nil
}

// settle lets anyone read the issuer's keys, as Entra has to, and waits for what
// pods need: the node, and the ServiceAccount that controllers make.
func settle(node nodes.Node) error {
	for _, args := range []string{
		"create clusterrolebinding public-service-account-issuer-discovery" +
			" --clusterrole=system:service-account-issuer-discovery --group=system:unauthenticated",
		"wait --for=condition=Ready --timeout=180s node --all",
		"wait --for=create --timeout=60s serviceaccount/default",
	} {
		if _, err := onNode(node, "kubectl", append([]string{"--kubeconfig=/etc/kubernetes/admin.conf"}, strings.Fields(args)...)...); err != nil {
			return explained("making the cluster usable", err)
		}
	}
	return nil
}

// load gives the node images, each a file.
func (c *kindCluster) load(files []string) error {
	if len(files) == 0 {
		return nil
	}
	node, err := c.node()
	if err != nil {
		return err
	}
	for _, file := range files {
		image, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("importing an image: %w", err)
		}
		err = nodeutils.LoadImageArchive(node, image)
		image.Close()
		if err != nil {
			return explained("importing image "+file, err)
		}
	}
	return nil
}

// look finds out where the cluster is, but for its issuer.
func (c *kindCluster) look(node nodes.Node) (summary, error) {
	server, err := readServer(c.kubeconfig())
	if err != nil {
		return summary{}, err
	}
	authority, err := onNode(node, "cat", caOnNode)
	if err != nil {
		return summary{}, explained("reading the cluster's CA", err)
	}
	caFile := filepath.Join(c.dir, "ca.crt")
	if err := os.WriteFile(caFile, authority, 0o600); err != nil {
		return summary{}, fmt.Errorf("keeping the cluster's CA: %w", err)
	}
	ipv4, ipv6, err := node.IP()
	if err != nil {
		return summary{}, explained("asking for the node's addresses", err)
	}
	hostAddresses, err := findHost(node)
	if err != nil {
		return summary{}, err
	}
	process, err := c.engine.inspect(node.String(), "{{.State.Pid}}")
	if err != nil {
		return summary{}, err
	}
	pid, err := strconv.Atoi(process)
	if err != nil {
		return summary{}, fmt.Errorf("the node's process: %w", err)
	}
	return summary{
		Server:        server,
		Kubeconfig:    c.kubeconfig(),
		CA:            caFile,
		Directory:     c.dir,
		Node:          node.String(),
		NodeAddresses: []string{ipv4, ipv6},
		HostAddresses: hostAddresses,
		IPv6:          true,
		PID:           pid,
	}, nil
}

func onNode(node nodes.Node, command string, args ...string) ([]byte, error) {
	return exec.Output(node.Command(command, args...))
}

// explained says what was being done, and what a command that failed for it
// printed.
func explained(doing string, err error) error {
	if err == nil {
		return nil
	}
	if run := exec.RunErrorForError(err); run != nil {
		return fmt.Errorf("%s: %w: %s", doing, err, bytes.TrimSpace(run.Output))
	}
	return fmt.Errorf("%s: %w", doing, err)
}
