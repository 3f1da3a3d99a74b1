package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// job is a process that the node's init is told to start.
type job struct {
	Name string   `json:"name"`
	Args []string `json:"args"` // The first is the program's file.
}

// nodeInit is the first process in the node's namespaces: it starts what it
// reads from its standard input and buries every orphan. When it ends, the
// kernel ends all the others.
type nodeInit struct {
	dir string

	mu   sync.Mutex
	jobs map[int]string
}

// runNodeInit ends when its standard input does, or one of its jobs, which it
// then names on standard error.
func runNodeInit(args []string) int {
	if len(args) != 1 || os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "cluster node-init: only `cluster node` can start it")
		return 2
	}
	if err := isolate(args[0]); err != nil {
		fmt.Fprintf(os.Stderr, "isolating the node: %v\n", err)
		return 1
	}
	// Whoever waits for this line knows that the isolation is done.
	fmt.Println("isolated")

	initial := &nodeInit{dir: args[0], jobs: map[int]string{}}
	ended := make(chan error)
	go func() { ended <- initial.startJobs(os.Stdin) }()
	go func() { ended <- initial.bury() }()
	if err := <-ended; err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (i *nodeInit) startJobs(from io.Reader) error {
	for decoder := json.NewDecoder(from); ; {
		var job job
		if err := decoder.Decode(&job); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading what to start: %w", err)
		}
		if err := i.start(job); err != nil {
			return fmt.Errorf("starting %s: %w", job.Name, err)
		}
	}
}

func (i *nodeInit) start(job job) error {
	log, err := os.Create(i.log(job.Name))
	if err != nil {
		return err
	}
	defer log.Close()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer nothing.Close()

	i.mu.Lock()
	defer i.mu.Unlock()
	pid, err := syscall.ForkExec(job.Args[0], job.Args, &syscall.ProcAttr{
		Dir: i.dir,
		Env: []string{
			// containerd finds its shim there, kube-proxy nft.
			"PATH=" + toolsDirectory() + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"TMPDIR=" + filepath.Join(i.dir, "tmp"),
		},
		Files: []uintptr{nothing.Fd(), log.Fd(), log.Fd()},
	})
	if err != nil {
		return err
	}
	i.jobs[pid] = job.Name
	return nil
}

func (i *nodeInit) log(name string) string {
	return filepath.Join(i.dir, name+".log")
}

// bury waits for whatever ends: jobs, and orphans such as the shims of pods.
func (i *nodeInit) bury() error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.ECHILD): // Nothing started yet.
			time.Sleep(pollEvery)
			continue
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("waiting for processes: %w", err)
		}
		i.mu.Lock()
		name, ours := i.jobs[pid]
		i.mu.Unlock()
		if ours {
			return fmt.Errorf("%s ended on its own (%s)\n%s", name, ending(status), lastLines(i.log(name)))
		}
	}
}

func ending(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("signal: %v", status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
