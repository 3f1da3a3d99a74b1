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

	"k8s.io/client-go/tools/clientcmd/api"
)

const readyWithin = 60 * time.Second

// summary is the one line on standard output: where the cluster is.
type summary struct {
	Server               string `json:"server"`
	Kubeconfig           string `json:"kubeconfig"`
	CA                   string `json:"ca"`
	Issuer               string `json:"issuer"`
	Directory            string `json:"directory"`
	EtcdPID              int    `json:"etcdPid"`
	APIServerPID         int    `json:"apiserverPid"`
	ControllerManagerPID int    `json:"controllerManagerPid"`
}

// cluster is what is decided, and written to files, before anything runs.
type cluster struct {
	dir        string
	keys       *pki
	etcd       *etcd
	apiServer  *apiServer
	kubeconfig string
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

	ctx, cancel, stop := untilTold()
	defer stop()
	if err := up(ctx, cancel, *dir, *port); err != nil {
		fmt.Fprintf(os.Stderr, "cluster up: %v\n", err)
		return 1
	}
	return 0
}

// untilTold gives a context that ends, as asked for, at SIGTERM, SIGINT or the
// end of standard input, or with the reason that cancel is given.
func untilTold() (ctx context.Context, cancel context.CancelCauseFunc, stop func()) {
	// The children die with the thread that started them, so that thread has
	// to live as long as this process: the main one does.
	runtime.LockOSThread()

	ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	ctx, cancel = context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel(context.Canceled)
	}()
	return ctx, cancel, stop
}

// up runs the cluster until ctx ends. Being told to stop is no error; a child
// that ends on its own cancels ctx with the reason. SIGHUP restarts the API server.
func up(ctx context.Context, cancel context.CancelCauseFunc, dir string, port int) error {
	dir, cleanUp, err := workDirectory(dir)
	if err != nil {
		return err
	}
	defer cleanUp()

	cluster, err := prepare(dir, port)
	if err != nil {
		return err
	}
	return cluster.run(ctx, cancel)
}

func prepare(dir string, port int) (*cluster, error) {
	keys, err := makePKI(dir, loopback)
	if err != nil {
		return nil, err
	}
	etcd, err := reserveEtcd(dir)
	if err != nil {
		return nil, err
	}
	apiServer, err := reserveAPIServer(dir, port, keys, etcd)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := writeKubeconfig(dir, "kubeconfig", apiServer.url, keys.caPEM, &api.AuthInfo{Token: apiServer.token})
	if err != nil {
		return nil, err
	}
	return &cluster{dir: dir, keys: keys, etcd: etcd, apiServer: apiServer, kubeconfig: kubeconfig}, nil
}

func (c *cluster) run(ctx context.Context, cancel context.CancelCauseFunc) error {
	bootstrap, err := newBootstrap(c.kubeconfig)
	if err != nil {
		return err
	}
	starting, stopStarting := context.WithTimeout(ctx, readyWithin)
	defer stopStarting()

	// Each is stopped before the one it needs: the API server hangs when its
	// etcd is gone.
	etcd, err := start(c.dir, "etcd", c.etcd.flags(), cancel)
	if err != nil {
		return err
	}
	defer etcd.stop()
	apiServer, err := start(c.dir, "kube-apiserver", c.apiServer.flags(), cancel)
	if err != nil {
		return err
	}
	defer func() { apiServer.stop() }()
	if err := bootstrap.waitForAPIServer(starting); err != nil {
		return notReady(ctx, err, apiServer)
	}

	// Not earlier: it ends when there is no API server within 10 s, and looks
	// for it only once a second.
	controllerManager, err := start(c.dir, "kube-controller-manager", controllerManagerFlags(c.kubeconfig, c.keys), cancel)
	if err != nil {
		return err
	}
	defer controllerManager.stop()
	if err := bootstrap.publishDiscovery(starting); err != nil {
		return notReady(ctx, err, apiServer)
	}
	if err := bootstrap.waitForControllers(starting); err != nil {
		return notReady(ctx, err, controllerManager)
	}

	line := summary{
		Server:               c.apiServer.url,
		Kubeconfig:           c.kubeconfig,
		CA:                   c.keys.caFile,
		Issuer:               c.apiServer.url,
		Directory:            c.dir,
		EtcdPID:              etcd.pid(),
		APIServerPID:         apiServer.pid(),
		ControllerManagerPID: controllerManager.pid(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		return fmt.Errorf("printing where the cluster is: %w", err)
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	for {
		select {
		case <-ctx.Done():
			return reason(ctx)
		case <-hangups:
			apiServer.stop()
			if apiServer, err = start(c.dir, "kube-apiserver", c.apiServer.flags(), cancel); err != nil {
				return err
			}
		}
	}
}

// notReady is the error of a start that failed, with the end of the log of the
// child that was waited for; or why ctx ended, if that is what cut it short.
func notReady(ctx context.Context, err error, awaited *process) error {
	if ctx.Err() != nil {
		return reason(ctx)
	}
	return fmt.Errorf("not ready within %v: %w\n%s", readyWithin, err, awaited.lastLines())
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
