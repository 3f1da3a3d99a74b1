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
	caFile                string
	caPEM                 []byte
	servingCertFile       string
	servingKeyFile        string
	serviceAccountKeyFile string
}

func makePKI(dir string) (*pki, error) {
	keys := &pki{
		caFile:                filepath.Join(dir, "ca.crt"),
		servingCertFile:       filepath.Join(dir, "apiserver.crt"),
		servingKeyFile:        filepath.Join(dir, "apiserver.key"),
		serviceAccountKeyFile: filepath.Join(dir, "service-account.key"),
	}
	if err := keys.makeServing(); err != nil {
		return nil, fmt.Errorf("making the serving certificate: %w", err)
	}
	if err := keys.makeServiceAccount(); err != nil {
		return nil, fmt.Errorf("making the service account key: %w", err)
	}
	return keys, nil
}

func (p *pki) makeServing() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test cluster CA"},
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	ca, err = sign(ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}

	servingKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serving := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{
			"localhost",
			"kubernetes",
			"kubernetes.default",
			"kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local",
		},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	serving, err = sign(serving, ca, servingKey.Public(), caKey)
	if err != nil {
		return err
	}

	p.caPEM = encode("CERTIFICATE", ca.Raw)
	if err := os.WriteFile(p.caFile, p.caPEM, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(p.servingCertFile, encode("CERTIFICATE", serving.Raw), 0o600); err != nil {
		return err
	}
	return writeKey(p.servingKeyFile, servingKey)
}

// makeServiceAccount makes an RSA key: Entra accepts RS256 and nothing else.
func (p *pki) makeServiceAccount() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return writeKey(p.serviceAccountKeyFile, key)
}

func sign(certificate, issuer *x509.Certificate, key crypto.PublicKey, issuerKey crypto.Signer) (*x509.Certificate, error) {
	certificate.NotBefore = time.Now()
	certificate.NotAfter = certificate.NotBefore.Add(validFor)
	der, err := x509.CreateCertificate(rand.Reader, certificate, issuer, key, issuerKey)
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
