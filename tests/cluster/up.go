package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const readyWithin = 60 * time.Second

// summary is the one line on standard output: where the cluster is.
type summary struct {
	Server       string `json:"server"`
	Kubeconfig   string `json:"kubeconfig"`
	CA           string `json:"ca"`
	Issuer       string `json:"issuer"`
	Directory    string `json:"directory"`
	EtcdPID      int    `json:"etcdPid"`
	APIServerPID int    `json:"apiserverPid"`
}

func runUp(args []string) int {
	flags := flag.NewFlagSet("cluster up", flag.ContinueOnError)
	dir := flags.String("dir", "", "new or empty `directory` for keys, data and logs, kept afterwards (default: a temporary one, removed)")
	port := flags.Int("port", 0, "loopback `port` of the API server (0: any free one)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "cluster up: unexpected argument %q\n", flags.Arg(0))
		return 2
	}

	// The children die with the thread that started them, so that thread has
	// to live as long as this process: the main one does.
	runtime.LockOSThread()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel(context.Canceled)
	}()

	if err := up(ctx, cancel, *dir, *port); err != nil {
		fmt.Fprintf(os.Stderr, "cluster up: %v\n", err)
		return 1
	}
	return 0
}

// up runs the cluster until ctx ends. Being told to stop is no error; a child
// that ends on its own cancels ctx with the reason.
func up(ctx context.Context, cancel context.CancelCauseFunc, dir string, port int) error {
	dir, cleanUp, err := workDirectory(dir)
	if err != nil {
		return err
	}
	defer cleanUp()

	keys, err := makePKI(dir)
	if err != nil {
		return err
	}
	etcd, err := reserveEtcd(dir)
	if err != nil {
		return err
	}
	apiServer, err := reserveAPIServer(dir, port, keys, etcd)
	if err != nil {
		return err
	}
	kubeconfig, err := writeKubeconfig(dir, apiServer.url, keys.caPEM, apiServer.token)
	if err != nil {
		return err
	}

	etcdProcess, err := start(dir, "etcd", etcd.flags(), cancel)
	if err != nil {
		return err
	}
	defer etcdProcess.stop()
	apiServerProcess, err := start(dir, "kube-apiserver", apiServer.flags(), cancel)
	if err != nil {
		return err
	}
	// Deferred last, so stopped first: it hangs when its etcd is gone.
	defer apiServerProcess.stop()

	starting, stopStarting := context.WithTimeout(ctx, readyWithin)
	defer stopStarting()
	if err := bootstrap(ctx, starting, kubeconfig); err != nil {
		if ctx.Err() != nil {
			return reason(ctx)
		}
		return fmt.Errorf("not ready within %v: %w\n%s", readyWithin, err, apiServerProcess.lastLines())
	}

	line := summary{
		Server:       apiServer.url,
		Kubeconfig:   kubeconfig,
		CA:           keys.caFile,
		Issuer:       apiServer.url,
		Directory:    dir,
		EtcdPID:      etcdProcess.pid(),
		APIServerPID: apiServerProcess.pid(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		return fmt.Errorf("printing where the cluster is: %w", err)
	}
	<-ctx.Done()
	return reason(ctx)
}

// reason is why ctx ended, or nil if someone asked for it.
func reason(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// workDirectory gives the directory to work in and what to do with it at the
// end. A named one has to be empty: with the data of an earlier run, or of one
// still going on, the new keys would not fit.
func workDirectory(named string) (dir string, cleanUp func(), err error) {
	if named == "" {
		dir, err := os.MkdirTemp("", "cluster-")
		if err != nil {
			return "", nil, fmt.Errorf("making a temporary directory: %w", err)
		}
		return dir, func() { _ = os.RemoveAll(dir) }, nil
	}
	dir, err = filepath.Abs(named)
	if err != nil {
		return "", nil, fmt.Errorf("finding directory %s: %w", named, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("making directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, fmt.Errorf("reading directory: %w", err)
	}
	if len(entries) > 0 {
		return "", nil, fmt.Errorf("directory %s is not empty: name a new or an empty one", dir)
	}
	return dir, func() {}, nil
}
