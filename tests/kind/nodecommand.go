package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func runNode(args []string) int {
	started := time.Now()
	flags := flag.NewFlagSet("cluster node", flag.ContinueOnError)
	dir := flags.String("dir", "", "new or empty `directory` for kubeconfig and CA, kept afterwards (default: a temporary one, removed)")
	detached := flags.Bool("detach", false, "leave the cluster running once it is ready (needs --dir)")
	var images []string
	flags.Func("image", "a `file` to import: an image as a tar archive of an OCI layout; may be repeated", func(file string) error {
		images = append(images, file)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || *detached && *dir == "" {
		return misused("usage: cluster node [--dir DIR] [--image FILE]..., or cluster node --detach --dir DIR [--image FILE]...")
	}
	return ended("node", node(*dir, images, *detached, started))
}

func node(named string, images []string, detached bool, started time.Time) error {
	engine, err := findEngine()
	if err != nil {
		return err
	}
	dir, cleanUp, err := workDirectory(named)
	if err != nil {
		return err
	}
	defer cleanUp()
	ctx := context.Background()
	if !detached {
		told, stop := untilTold()
		defer stop()
		ctx = told
	}

	cluster := openCluster(engine, dir)
	if err := cluster.create(configuration); err != nil {
		return err
	}
	// Creation is not to be cut short: whoever said so meanwhile is heard after it.
	if ctx.Err() == nil {
		err = cluster.ready(ctx, images, started)
	}
	if err == nil && detached {
		return nil
	}
	if err == nil {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		err = nil // Nothing failed: it was told to end.
	}
	return errors.Join(err, cluster.delete())
}

// untilTold gives a context that ends at SIGTERM, SIGINT or the end of standard
// input.
func untilTold() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return ctx, stop
}

// workDirectory gives the directory to work in and what to do with it at the
// end.
func workDirectory(named string) (dir string, cleanUp func(), err error) {
	if named == "" {
		dir, err := os.MkdirTemp("", "kind-")
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

func runImport(args []string) int {
	if len(args) < 2 {
		return misused("usage: cluster import DIR FILE...")
	}
	engine, err := findEngine()
	if err == nil {
		err = openCluster(engine, args[0]).load(args[1:])
	}
	return ended("import", err)
}

func runStop(args []string) int {
	if len(args) != 1 {
		return misused("usage: cluster stop DIR")
	}
	engine, err := findEngine()
	if err == nil {
		err = openCluster(engine, args[0]).delete()
	}
	return ended("stop", err)
}
