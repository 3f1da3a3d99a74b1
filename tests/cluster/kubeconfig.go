package main

import (
	"fmt"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfig writes the kubeconfig of a caller who is known by that, and
// gives its path.
func writeKubeconfig(dir, file, server string, caPEM []byte, caller *api.AuthInfo) (string, error) {
	const name = "test"
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: server, CertificateAuthorityData: caPEM}
	config.AuthInfos[name] = caller
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name

	file = filepath.Join(dir, file)
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return "", fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return file, nil
}
