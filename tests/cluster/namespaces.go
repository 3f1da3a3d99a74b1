package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// namespaces are where the node is, seen from the machine: their init and the
// pipe by which it is told what to start.
type namespaces struct {
	command *exec.Cmd
	jobs    io.WriteCloser
	ended   chan struct{}
}

// makeNamespaces starts the init of new network, mount and pid namespaces. When
// it ends it cancels with the reason.
func makeNamespaces(dir string, cancel context.CancelCauseFunc) (*namespaces, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this binary: %w", err)
	}
	command := exec.Command(self, "node-init", dir)
	command.Dir = dir
	command.Env = []string{}
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		// As for other children; and with this one ends all it started.
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true,
	}
	var complaint bytes.Buffer
	command.Stderr = &complaint
	jobs, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("making the node's namespaces: %w", err)
	}
	_, isolated := bufio.NewReader(stdout).ReadString('\n')

	made := &namespaces{command: command, jobs: jobs, ended: make(chan struct{})}
	go func() {
		_ = command.Wait()
		close(made.ended)
		cancel(made.reason(complaint.Bytes()))
	}()
	if isolated != nil {
		<-made.ended
		return nil, made.reason(complaint.Bytes())
	}
	return made, nil
}

func (n *namespaces) reason(complaint []byte) error {
	if len(complaint) == 0 {
		return fmt.Errorf("the node's init ended on its own (%v)", n.command.ProcessState)
	}
	return errors.New(string(bytes.TrimSpace(complaint)))
}

func (n *namespaces) pid() int {
	return n.command.Process.Pid
}

// start has a program run in the namespaces, its output going to NAME.log.
func (n *namespaces) start(name, program string, args []string) error {
	if err := json.NewEncoder(n.jobs).Encode(job{Name: name, Args: append([]string{program}, args...)}); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	return nil
}

// startSelf has this binary run in the namespaces as the named component.
func (n *namespaces) startSelf(name string, flags []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this binary: %w", err)
	}
	return n.start(name, self, append([]string{name}, flags...))
}

// end kills everything in the namespaces at once: nothing in there is worth a
// farewell, and so the end is the same as when this process is killed.
func (n *namespaces) end() {
	_ = n.command.Process.Kill()
	<-n.ended
}
