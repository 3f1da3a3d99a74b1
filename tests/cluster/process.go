package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	stopWithin  = 5 * time.Second
	linesToShow = 20
)

// process is a component that runs as a child of this one.
type process struct {
	command  *exec.Cmd
	log      string
	stopping atomic.Bool
	ended    chan struct{}
}

// start runs this binary again as the named component, its output going to the
// end of NAME.log. When it ends without being stopped, it cancels with the reason.
func start(dir, name string, flags []string, cancel context.CancelCauseFunc) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this binary: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", name, err)
	}
	defer log.Close()

	command := exec.Command(self, append([]string{name}, flags...)...)
	command.Dir = dir
	command.Stdout, command.Stderr = log, log
	// Nothing inherited: etcd takes each ETCD_* variable for a flag.
	command.Env = []string{}
	command.SysProcAttr = &syscall.SysProcAttr{
		// Even if this process is killed, no child outlives it.
		Pdeathsig: syscall.SIGKILL,
		// Ctrl-C in a terminal reaches only this process, which knows the order.
		Setpgid: true,
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}

	child := &process{command: command, log: log.Name(), ended: make(chan struct{})}
	go func() {
		_ = command.Wait()
		close(child.ended)
		if child.stopping.Load() {
			return
		}
		cancel(fmt.Errorf("%s ended on its own (%v)\n%s", name, command.ProcessState, child.lastLines()))
	}()
	return child, nil
}

func (p *process) pid() int {
	return p.command.Process.Pid
}

// stop asks the process to end, and ends it if it does not.
func (p *process) stop() {
	p.stopping.Store(true)
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopWithin):
		_ = p.command.Process.Kill()
		<-p.ended
	}
}

func (p *process) lastLines() string {
	return lastLines(p.log)
}

// lastLines is the end of a log, with a heading, for an error message.
func lastLines(log string) string {
	content, err := os.ReadFile(log)
	if err != nil {
		return fmt.Sprintf("(its log cannot be read: %v)", err)
	}
	lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	lines = lines[max(0, len(lines)-linesToShow):]
	return fmt.Sprintf("last lines of %s:\n%s", log, bytes.Join(lines, []byte("\n")))
}
