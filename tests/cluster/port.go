package main

import (
	"fmt"
	"os"
	"syscall"
)

// reservePort binds a loopback port, any free one for 0, and keeps it bound,
// not listening, until this process ends. The kernel then gives it to nobody
// who asks for any port, while a child that asks for this very one can listen
// on it. To look for a free port and let go of it would leave that to luck.
func reservePort(port int) (int, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("opening a socket: %w", os.NewSyscallError("socket", err))
	}
	bound, err := bind(socket, port)
	if err != nil {
		_ = syscall.Close(socket)
		return 0, fmt.Errorf("reserving port %d of 127.0.0.1: %w", port, err)
	}
	return bound, nil
}

func bind(socket, port int) (int, error) {
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	loopback := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}
	if err := syscall.Bind(socket, loopback); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	address, err := syscall.Getsockname(socket)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return address.(*syscall.SockaddrInet4).Port, nil
}
