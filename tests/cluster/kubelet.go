package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd/api"
)

const nodeName = "node1"

// kubeletFlags writes the keys and the configuration of the kubelet, and gives
// its flags. It is known as the node it is, not as the admin.
func kubeletFlags(dir, cgroup string, server *apiServer, network network) ([]string, error) {
	client, err := server.keys.issueClient("kubelet-client", "system:node:"+nodeName, "system:nodes")
	if err != nil {
		return nil, err
	}
	kubeconfig, err := writeKubeconfig(dir, "kubelet.kubeconfig", server.url, server.keys.caPEM,
		&api.AuthInfo{ClientCertificate: client.certFile, ClientKey: client.keyFile})
	if err != nil {
		return nil, err
	}
	serving, err := server.keys.issue("kubelet", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP(nodeAddress)},
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "kubelet.json")
	if err := writeJSON(file, kubeletConfiguration(dir, cgroup, server.keys.caFile, serving)); err != nil {
		return nil, err
	}
	return []string{
		"--config=" + file,
		"--kubeconfig=" + kubeconfig,
		"--hostname-override=" + nodeName,
		"--node-ip=" + strings.Join(network.nodeAddresses(), ","),
		"--root-dir=" + kubeletDirectory,
	}, nil
}

func kubeletConfiguration(dir, cgroup, caFile string, serving keyPair) map[string]any {
	return map[string]any{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"clusterDomain":            "cluster.local",
		"clusterDNS":               []string{dnsAddress},
		// Names that are not the cluster's are nobody's.
		"resolvConf":                  "",
		"podLogsDir":                  filepath.Join(dir, "pods"),
		"volumePluginDir":             filepath.Join(kubeletDirectory, "volume-plugins"),
		"authentication":              map[string]any{"anonymous": map[string]any{"enabled": false}, "x509": map[string]any{"clientCAFile": caFile}},
		"authorization":               map[string]any{"mode": "Webhook"},
		"tlsCertFile":                 serving.certFile,
		"tlsPrivateKeyFile":           serving.keyFile,
		"cgroupDriver":                "cgroupfs",
		"cgroupRoot":                  "/" + cgroup,
		"failCgroupV1":                false,
		"failSwapOn":                  false,
		"makeIPTablesUtilChains":      false,
		"imageGCHighThresholdPercent": 100,
		// And no limit to how full the machine's disk may be.
		"evictionHard": map[string]string{"memory.available": "100Mi"},
	}
}
