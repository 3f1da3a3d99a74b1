package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// apiServer is the Kubernetes API server; its url is also the issuer of the
// service account tokens, so that whoever trusts the CA can check them.
type apiServer struct {
	port      int
	url       string
	keys      *pki
	etcd      *etcd
	token     string
	tokenFile string
}

func reserveAPIServer(dir string, port int, keys *pki, etcd *etcd) (*apiServer, error) {
	port, err := reservePort(port)
	if err != nil {
		return nil, fmt.Errorf("API server port: %w", err)
	}
	server := &apiServer{
		port:      port,
		url:       fmt.Sprintf("https://127.0.0.1:%d", port),
		keys:      keys,
		etcd:      etcd,
		token:     rand.Text(),
		tokenFile: filepath.Join(dir, "tokens.csv"),
	}
	admin := server.token + `,admin,admin,"system:masters"` + "\n"
	if err := os.WriteFile(server.tokenFile, []byte(admin), 0o600); err != nil {
		return nil, fmt.Errorf("writing the admin's token: %w", err)
	}
	return server, nil
}

func (a *apiServer) flags() []string {
	return []string{
		"--etcd-servers=" + a.etcd.clientURL,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(a.port),
		"--advertise-address=127.0.0.1",
		// An Endpoints object must not name a loopback address.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--allow-privileged=true",

		"--tls-cert-file=" + a.keys.servingCertFile,
		"--tls-private-key-file=" + a.keys.servingKeyFile,

		"--service-account-issuer=" + a.url,
		"--service-account-jwks-uri=" + a.url + "/openid/v1/jwks",
		"--service-account-signing-key-file=" + a.keys.serviceAccountKeyFile,
		"--service-account-key-file=" + a.keys.serviceAccountKeyFile,

		"--token-auth-file=" + a.tokenFile,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
	}
}
