package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

type nodeOptions struct {
	dir        string
	images     []string
	background bool
	started    time.Time
}

func runNode(args []string) int {
	started := time.Now()
	flags := flag.NewFlagSet("cluster node", flag.ContinueOnError)
	dir := flags.String("dir", "", "new or empty `directory` for keys, data and logs, kept afterwards (default: a temporary one, removed)")
	detached := flags.Bool("detach", false, "go on in the background once the node is ready (needs --dir)")
	background := flags.Bool("background", false, "what --detach starts: log to the directory")
	var images []string
	flags.Func("image", "a `file` to import: an image as a tar archive of an OCI layout; may be repeated", func(file string) error {
		images = append(images, file)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || *detached && *dir == "" {
		fmt.Fprintln(os.Stderr, "usage: cluster node [--dir DIR] [--image FILE]..., or cluster node --detach --dir DIR [--image FILE]...")
		return 2
	}
	if *detached {
		return detach(*dir, images)
	}

	ctx, cancel, stop := untilTold()
	defer stop()
	options := nodeOptions{dir: *dir, images: images, background: *background, started: started}
	if err := runNodeUntil(ctx, cancel, options); err != nil {
		fmt.Fprintf(os.Stderr, "cluster node: %v\n", err)
		return 1
	}
	return 0
}

// runNodeUntil runs the node until ctx ends.
func runNodeUntil(ctx context.Context, cancel context.CancelCauseFunc, options nodeOptions) error {
	runc, err := findTools()
	if err != nil {
		return err
	}
	dir, cleanUp, err := workDirectory(options.dir)
	if err != nil {
		return err
	}
	defer cleanUp()
	if hidden(dir) {
		return fmt.Errorf("directory %s: name one that is not below %s, /run or /proc, which the node has for itself", dir, strings.Join(changed, ", "))
	}
	if options.background {
		if err := logTo(dir); err != nil {
			return err
		}
	}
	return runNodeIn(ctx, cancel, dir, runc, options)
}

// runNodeIn runs it in new namespaces. They end before the sweeper removes what
// they leave.
func runNodeIn(ctx context.Context, cancel context.CancelCauseFunc, dir, runc string, options nodeOptions) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	namespaces, err := makeNamespaces(dir, cancel)
	if err != nil {
		return err
	}
	network := findNetwork()
	if err := network.connect(namespaces.pid()); err != nil {
		namespaces.end()
		return err
	}
	cgroup := fmt.Sprintf("cluster-node-%d", os.Getpid())
	left := cgroupDirectories(hierarchies, cgroup)
	if options.dir == "" {
		left = append(left, dir)
	}
	sweeper, err := startSweeper(namespaces.pid(), left)
	if err != nil {
		namespaces.end()
		return err
	}
	defer sweeper.sweep()
	defer namespaces.end()
	if err := makeCgroups(hierarchies, cgroup); err != nil {
		return err
	}

	node, err := prepareNode(dir, runc, cgroup, network, options.images)
	if err != nil {
		return err
	}
	if err := node.run(ctx, namespaces, options.started); err != nil {
		if ctx.Err() != nil {
			return reason(ctx)
		}
		return err
	}
	<-ctx.Done()
	return reason(ctx)
}
