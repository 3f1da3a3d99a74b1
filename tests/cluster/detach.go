package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	nodeLogFile    = "node.log"
	nodeStopWithin = 30 * time.Second
)

// detach starts a node that goes on after this process, and returns once it
// has printed its line or ended.
func detach(dir string, images []string) int {
	if err := startDetached(dir, images); err != nil {
		fmt.Fprintf(os.Stderr, "cluster node: %v\n", err)
		return 1
	}
	return 0
}

func startDetached(dir string, images []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this binary: %w", err)
	}
	// Here too, so that a log in there is of this start.
	if dir, _, err = workDirectory(dir); err != nil {
		return err
	}
	args := []string{"node", "--background", "--dir", dir}
	for _, image := range images {
		args = append(args, "--image", image)
	}
	input, held, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	output, line, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	command := exec.Command(self, args...)
	// It holds the other end of its own standard input, which so never ends.
	command.Stdin, command.ExtraFiles = input, []*os.File{held}
	command.Stdout, command.Stderr = line, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting in the background: %w", err)
	}
	line.Close()

	var summary json.RawMessage
	if err := json.NewDecoder(output).Decode(&summary); err != nil {
		_ = command.Wait()
		log := filepath.Join(dir, nodeLogFile)
		if _, err := os.Stat(log); err != nil {
			return errors.New("it ended before it was ready")
		}
		return fmt.Errorf("it ended before it was ready; %s", lastLines(log))
	}
	fmt.Printf("%s\n", summary)
	return nil
}

// logTo has what this process and its sweeper complain of go to a file: whoever
// reads the standard error of what started it must not have to wait for it.
func logTo(dir string) error {
	log, err := os.Create(filepath.Join(dir, nodeLogFile))
	if err != nil {
		return fmt.Errorf("making the log of the node: %w", err)
	}
	defer log.Close()
	return os.NewSyscallError("dup3", unix.Dup3(int(log.Fd()), syscall.Stderr, 0))
}

// runStop ends the node of a directory, and returns when nothing is left of it
// but that directory.
func runStop(args []string) int {
	flags := flag.NewFlagSet("cluster stop", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: cluster stop DIR")
		return 2
	}
	node, err := readNodeSummary(flags.Arg(0))
	if errors.Is(err, fs.ErrNotExist) {
		return 0 // It was never ready, and a start that fails leaves nothing.
	}
	if err == nil {
		err = stopProcess(node.Supervisor)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "cluster stop: %v\n", err)
		return 1
	}
	return 0
}

// stopProcess asks a process of this binary to end and waits until it has. If
// its number is another's by now, it has ended already.
func stopProcess(pid int) error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("finding this binary: %w", err)
	}
	running := func() bool {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		return err == nil && program == self
	}
	if !running() {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("asking process %d to end: %w", pid, err)
	}
	return retry(nodeStopWithin, func() error {
		if running() {
			return fmt.Errorf("process %d is still there", pid)
		}
		return nil
	})
}
