package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// loopback is where a cluster without a node is.
var loopback = net.IPv4(127, 0, 0, 1)

// apiServer is the Kubernetes API server; its url is also the issuer of the
// service account tokens, so that whoever trusts the CA can check them.
type apiServer struct {
	port         int
	url          string
	keys         *pki
	etcd         *etcd
	token        string
	tokenFile    string
	serviceCIDRs string
	// network is the flags that say where it listens and who finds it there.
	network []string
}

func reserveAPIServer(dir string, port int, keys *pki, etcd *etcd) (*apiServer, error) {
	port, err := reservePort(port)
	if err != nil {
		return nil, fmt.Errorf("API server port: %w", err)
	}
	server, err := newAPIServer(dir, loopback, port, keys, etcd)
	if err != nil {
		return nil, err
	}
	server.serviceCIDRs = serviceCIDR
	server.network = []string{
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		// An Endpoints object must not name a loopback address.
		"--endpoint-reconciler-type=none",
	}
	return server, nil
}

func newAPIServer(dir string, address net.IP, port int, keys *pki, etcd *etcd) (*apiServer, error) {
	server := &apiServer{
		port:      port,
		url:       fmt.Sprintf("https://%s:%d", address, port),
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
	return append([]string{
		"--etcd-servers=" + a.etcd.clientURL,
		"--secure-port=" + strconv.Itoa(a.port),
		"--service-cluster-ip-range=" + a.serviceCIDRs,
		"--allow-privileged=true",

		"--tls-cert-file=" + a.keys.serving.certFile,
		"--tls-private-key-file=" + a.keys.serving.keyFile,

		"--service-account-issuer=" + a.url,
		"--service-account-jwks-uri=" + a.url + "/openid/v1/jwks",
		"--service-account-signing-key-file=" + a.keys.serviceAccountKeyFile,
		"--service-account-key-file=" + a.keys.serviceAccountKeyFile,

		"--token-auth-file=" + a.tokenFile,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
	}, a.network...)
}
