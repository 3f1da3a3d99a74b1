package main

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"
)

func TestServingCertificateIsTrustedForEveryName(t *testing.T) {
	keys, err := makePKI(t.TempDir(), loopback)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(keys.serving.certFile, keys.serving.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(keys.caPEM) {
		t.Fatal("the CA is not a PEM certificate")
	}
	for _, name := range []string{"localhost", "127.0.0.1", "kubernetes.default.svc"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "example.test"}); err == nil {
		t.Error("trusted for a name it does not have")
	}
}

func TestServiceAccountKeyIsRSA2048(t *testing.T) {
	keys, err := makePKI(t.TempDir(), loopback)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(keys.serviceAccountKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatal("not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := key.(*rsa.PrivateKey); !ok || key.N.BitLen() != 2048 {
		t.Errorf("got %T, want an RSA key of 2048 bits", key)
	}
}
