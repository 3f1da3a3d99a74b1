package main

// controllerManagerFlags are those of the Kubernetes controller-manager, which
// acts as the admin: it makes the `default` ServiceAccount of each namespace,
// the pods of Deployments and Jobs, and deletes what is in a deleted namespace.
func controllerManagerFlags(kubeconfig string, keys *pki) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--service-account-private-key-file=" + keys.serviceAccountKeyFile,
		"--root-ca-file=" + keys.caFile,
		"--use-service-account-credentials=true",
		// Serves nothing: nobody asks for its metrics.
		"--secure-port=0",
		"--leader-elect=false",
		// Its own limit would delay the first start of the controllers by seconds.
		"--kube-api-qps=1000",
		"--kube-api-burst=1000",
	}
}
