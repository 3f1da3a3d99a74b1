package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	dnsName  = "kube-dns"
	dnsPort  = 53
	dnsReady = nodeAddress + ":8181"
)

// dnsFlags writes the configuration of CoreDNS, a process of the node that acts
// as the admin, and gives the flags. It knows the cluster's names and asks
// nobody for others.
func dnsFlags(dir, kubeconfig string) ([]string, error) {
	file := filepath.Join(dir, "Corefile")
	content := fmt.Appendf(nil, `cluster.local:%[1]d in-addr.arpa:%[1]d ip6.arpa:%[1]d {
	bind %[2]s
	errors
	ready %[3]s
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig %[4]s
		ttl 1
	}
}
.:%[1]d {
	bind %[2]s
	template ANY ANY {
		rcode NXDOMAIN
	}
}
`, dnsPort, nodeAddress, dnsReady, kubeconfig)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return nil, fmt.Errorf("configuring CoreDNS: %w", err)
	}
	return []string{"-conf", file}, nil
}

// publishDNS puts the usual Service before CoreDNS, which is no pod.
func (b *bootstrap) publishDNS(ctx context.Context) error {
	port, ready := int32(dnsPort), true
	service := &core.Service{
		ObjectMeta: meta.ObjectMeta{Name: dnsName},
		Spec:       core.ServiceSpec{ClusterIP: dnsAddress},
	}
	slice := &discovery.EndpointSlice{
		ObjectMeta:  meta.ObjectMeta{Name: dnsName, Labels: map[string]string{discovery.LabelServiceName: dnsName}},
		AddressType: discovery.AddressTypeIPv4,
		Endpoints: []discovery.Endpoint{{
			Addresses:  []string{nodeAddress},
			Conditions: discovery.EndpointConditions{Ready: &ready},
		}},
	}
	for name, protocol := range map[string]core.Protocol{"dns": core.ProtocolUDP, "dns-tcp": core.ProtocolTCP} {
		service.Spec.Ports = append(service.Spec.Ports, core.ServicePort{Name: name, Protocol: protocol, Port: port})
		slice.Ports = append(slice.Ports, discovery.EndpointPort{Name: &name, Protocol: &protocol, Port: &port})
	}
	if _, err := b.admin.CoreV1().Services(meta.NamespaceSystem).Create(ctx, service, meta.CreateOptions{}); err != nil {
		return fmt.Errorf("making the Service of CoreDNS: %w", err)
	}
	if _, err := b.admin.DiscoveryV1().EndpointSlices(meta.NamespaceSystem).Create(ctx, slice, meta.CreateOptions{}); err != nil {
		return fmt.Errorf("making the endpoints of CoreDNS: %w", err)
	}
	return nil
}
