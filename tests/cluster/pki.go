package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const validFor = 24 * time.Hour

// pki is the cluster's throw-away keys and certificates, as files. The key of
// the CA is never written: nothing is signed after the start.
type pki struct {
	dir                   string
	caFile                string
	caPEM                 []byte
	serving               keyPair
	serviceAccountKeyFile string

	ca     *x509.Certificate
	caKey  crypto.Signer
	signed int64
}

// keyPair is a certificate and its key, as files.
type keyPair struct {
	certFile, keyFile string
}

// makePKI makes the CA, the key that signs service account tokens, and the
// serving certificate of an API server at address.
func makePKI(dir string, address net.IP) (*pki, error) {
	keys := &pki{
		dir:                   dir,
		caFile:                filepath.Join(dir, "ca.crt"),
		serviceAccountKeyFile: filepath.Join(dir, "service-account.key"),
	}
	if err := keys.makeCA(); err != nil {
		return nil, fmt.Errorf("making the CA: %w", err)
	}
	serving, err := keys.issue("apiserver", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{
			"localhost",
			"kubernetes",
			"kubernetes.default",
			"kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local",
		},
		IPAddresses: []net.IP{address, firstServiceAddress},
	})
	if err != nil {
		return nil, err
	}
	keys.serving = serving
	if err := keys.makeServiceAccount(); err != nil {
		return nil, fmt.Errorf("making the service account key: %w", err)
	}
	return keys, nil
}

func (p *pki) makeCA() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "test cluster CA"},
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	p.ca, p.caKey = ca, key
	if p.ca, err = p.sign(ca, key.Public()); err != nil {
		return err
	}
	p.caPEM = encode("CERTIFICATE", p.ca.Raw)
	return os.WriteFile(p.caFile, p.caPEM, 0o600)
}

// makeServiceAccount makes an RSA key: Entra accepts RS256 and nothing else.
func (p *pki) makeServiceAccount() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return writeKey(p.serviceAccountKeyFile, key)
}

// issueClient makes a key pair by which the API server, or a kubelet, knows its
// caller as that user in that group.
func (p *pki) issueClient(name, user, group string) (keyPair, error) {
	return p.issue(name, &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: []string{group}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// issue makes a key, and a certificate of it like the template, as NAME.key
// and NAME.crt.
func (p *pki) issue(name string, template *x509.Certificate) (keyPair, error) {
	pair := keyPair{
		certFile: filepath.Join(p.dir, name+".crt"),
		keyFile:  filepath.Join(p.dir, name+".key"),
	}
	failed := func(err error) (keyPair, error) {
		return keyPair{}, fmt.Errorf("making the certificate %s: %w", name, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return failed(err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	certificate, err := p.sign(template, key.Public())
	if err != nil {
		return failed(err)
	}
	if err := os.WriteFile(pair.certFile, encode("CERTIFICATE", certificate.Raw), 0o600); err != nil {
		return failed(err)
	}
	if err := writeKey(pair.keyFile, key); err != nil {
		return failed(err)
	}
	return pair, nil
}

func (p *pki) sign(certificate *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	p.signed++
	certificate.SerialNumber = big.NewInt(p.signed)
	certificate.NotBefore = time.Now()
	certificate.NotAfter = certificate.NotBefore.Add(validFor)
	der, err := x509.CreateCertificate(rand.Reader, certificate, p.ca, key, p.caKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func writeKey(file string, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(file, encode("PRIVATE KEY", der), 0o600)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
