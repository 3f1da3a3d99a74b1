// Command probe is the program in the pods of the node's tests: it says what it
// sees from in there.
//
//	probe serve ADDRESS     answers each request with the caller's address
//	probe get URL           prints the answer; trusts the cluster's CA
//	probe resolve NAME      prints the addresses, or the error
//	probe status FIELD      prints a line of /proc/self/status
//	probe fill              takes memory until it is stopped
//	probe fail              exits with status 3
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const caFile = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"

func main() {
	verb, object := os.Args[1], strings.Join(os.Args[2:], " ")
	verbs := map[string]func(string) error{
		"serve":   serve,
		"get":     get,
		"resolve": resolve,
		"status":  status,
		"fill":    fill,
		"fail":    func(string) error { os.Exit(3); return nil },
	}
	if err := verbs[verb](object); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func serve(address string) error {
	fmt.Println("serving", address)
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "you are", r.RemoteAddr)
	}))
}

func get(url string) error {
	roots := x509.NewCertPool()
	if ca, err := os.ReadFile(caFile); err == nil {
		roots.AppendCertsFromPEM(ca)
	}
	client := http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

func resolve(name string) error {
	start := time.Now()
	addresses, err := net.DefaultResolver.LookupHost(context.Background(), name)
	if err != nil {
		if took := time.Since(start); took > 2*time.Second {
			return fmt.Errorf("after %v: %w", took, err)
		}
		return err
	}
	fmt.Println(strings.Join(addresses, "\n"))
	return nil
}

func status(field string) error {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), field+":") {
			fmt.Println(lines.Text())
		}
	}
	return nil
}

func fill(string) error {
	var kept [][]byte
	for {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = 1
		}
		kept = append(kept, block)
		if len(kept)%8 == 0 {
			fmt.Println(len(kept), "MiB")
		}
	}
}
