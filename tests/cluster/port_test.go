package main

import (
	"net"
	"strconv"
	"testing"
)

func TestReservedPortCanBeListenedOnOnce(t *testing.T) {
	port, err := reservePort(0)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("listening on the reserved port: %v", err)
	}
	defer listener.Close()
	if _, err := reservePort(port); err == nil {
		t.Error("a port that is listened on was reserved")
	}
}
