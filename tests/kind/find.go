package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
)

const (
	discoveryPath   = "/.well-known/openid-configuration"
	publishedWithin = 30 * time.Second
	pollEvery       = 100 * time.Millisecond
)

// readServer gives the API server's URL, by which the host finds it.
func readServer(kubeconfig string) (string, error) {
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `yaml:"server"`
			} `yaml:"cluster"`
		} `yaml:"clusters"`
	}
	content, err := os.ReadFile(kubeconfig)
	if err == nil {
		err = yaml.Unmarshal(content, &config)
	}
	if err != nil {
		return "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if len(config.Clusters) != 1 {
		return "", fmt.Errorf("the kubeconfig has %d clusters, not 1", len(config.Clusters))
	}
	return config.Clusters[0].Cluster.Server, nil
}

// findHost gives the addresses under which the node, and so its pods, reach the
// host: those of its gateways that are addresses of this machine. There are none
// where the engine is rootless or in a virtual machine.
func findHost(node nodes.Node) ([]string, error) {
	ours, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("looking at this machine's addresses: %w", err)
	}
	here := map[netip.Addr]bool{}
	for _, address := range ours {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			here[prefix.Addr()] = true
		}
	}
	found := []string{}
	for _, family := range []string{"-4", "-6"} {
		printed, err := onNode(node, "ip", "-json", family, "route", "show", "default")
		if err != nil {
			return nil, explained("asking the node for its gateway", err)
		}
		var routes []struct {
			Gateway netip.Addr `json:"gateway"`
		}
		if err := json.Unmarshal(printed, &routes); err != nil {
			return nil, fmt.Errorf("reading the node's routes: %w", err)
		}
		for _, route := range routes {
			if here[route.Gateway] {
				found = append(found, route.Gateway.String())
			}
		}
	}
	return found, nil
}

// findIssuer asks for it, as anyone can once discovery is public, until it
// answers. It has to be where its keys are looked for.
func findIssuer(ctx context.Context, server, caFile string) (string, error) {
	authority, err := os.ReadFile(caFile)
	if err != nil {
		return "", fmt.Errorf("reading the cluster's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return "", errors.New("the cluster's CA is no PEM certificate")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	ctx, cancel := context.WithTimeout(ctx, publishedWithin)
	defer cancel()
	for {
		issuer, err := askForIssuer(ctx, client, server+discoveryPath)
		if err == nil && issuer != server {
			return "", fmt.Errorf("the issuer says it is %s, but it is %s", issuer, server)
		}
		if err == nil {
			return issuer, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("asking for the issuer's discovery document: %w", err)
		case <-time.After(pollEvery):
		}
	}
}

func askForIssuer(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", errors.New(answer.Status)
	}
	var document struct {
		Issuer string `json:"issuer"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
		return "", fmt.Errorf("reading %s: %w", url, err)
	}
	return document.Issuer, nil
}
