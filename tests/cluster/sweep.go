package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const sweepWithin = 20 * time.Second

// sweeper is a process that outlives this one, to remove what no namespace
// holds: cgroups, and the directory if it is a temporary one.
type sweeper struct {
	command *exec.Cmd
	leash   io.Closer
}

// startSweeper starts one that waits for the process to have ended, too.
func startSweeper(pid int, paths []string) (*sweeper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this binary: %w", err)
	}
	command := exec.Command(self, append([]string{"node-sweep", strconv.Itoa(pid)}, paths...)...)
	command.Dir = "/"
	command.Stderr = os.Stderr
	// A signal to the terminal's or the caller's group is not for it.
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	leash, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting the sweeper: %w", err)
	}
	return &sweeper{command: command, leash: leash}, nil
}

// sweep lets the sweeper do its work, as the end of this process would.
func (s *sweeper) sweep() {
	_ = s.leash.Close()
	_ = s.command.Wait()
}

// runSweep removes the paths, once its standard input and the process, whose
// number is the first argument, have ended.
func runSweep(args []string) int {
	_, _ = io.Copy(io.Discard, os.Stdin)
	if len(args) < 1 {
		return 2
	}
	_ = retry(sweepWithin, func() error { return hasEnded(args[0]) })
	// The kernel takes down an ended network namespace a little later: minutes,
	// where a connection in it was left open. So the link goes first.
	_ = exec.Command("ip", "link", "delete", hostLink).Run()
	_ = retry(sweepWithin, hostLinkIsGone)
	failed := 0
	for _, path := range args[1:] {
		// The kernel may need a moment to empty a cgroup.
		if err := retry(sweepWithin, func() error { return removeTree(path) }); err != nil {
			fmt.Fprintf(os.Stderr, "cluster node: removing %s: %v\n", path, err)
			failed = 1
		}
	}
	return failed
}

func hasEnded(pid string) error {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	// A zombie has ended, whether or not its new parent ever looks.
	if err != nil || strings.Contains(string(stat), ") Z ") {
		return nil
	}
	return fmt.Errorf("process %s has not ended", pid)
}

func hostLinkIsGone() error {
	if _, err := net.InterfaceByName(hostLink); err == nil {
		return fmt.Errorf("link %s is still there", hostLink)
	}
	return nil
}

func retry(within time.Duration, try func() error) error {
	for start := time.Now(); ; time.Sleep(pollEvery) {
		if err := try(); err == nil || time.Since(start) > within {
			return err
		}
	}
}

// removeTree is for cgroups too: their files can't be removed, but go with
// their directory.
func removeTree(path string) error {
	if !strings.HasPrefix(path, cgroupRoot) {
		return os.RemoveAll(path)
	}
	var directories []string
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			directories = append(directories, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, directory := range slices.Backward(directories) {
		if err := syscall.Rmdir(directory); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return os.NewSyscallError("rmdir "+directory, err)
		}
	}
	return nil
}
