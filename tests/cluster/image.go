package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
)

// writeImage writes an image of one static program, as a tar archive of an OCI
// layout.
func writeImage(file, name, program string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("reading the program of image %s: %w", name, err)
	}
	entrypoint := "/" + filepath.Base(program)
	layer, err := archive([]entry{{entrypoint[1:], content, 0o755}})
	if err != nil {
		return fmt.Errorf("making the layer of image %s: %w", name, err)
	}
	config := encodeJSON(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{entrypoint}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	manifest := encodeJSON(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        descriptor("application/vnd.oci.image.config.v1+json", config),
		"layers":        []any{descriptor("application/vnd.oci.image.layer.v1.tar", layer)},
	})
	named := descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
	named["annotations"] = map[string]string{"io.containerd.image.name": name}

	entries := []entry{
		{"oci-layout", encodeJSON(map[string]any{"imageLayoutVersion": "1.0.0"}), 0o644},
		{"index.json", encodeJSON(map[string]any{"schemaVersion": 2, "manifests": []any{named}}), 0o644},
	}
	for _, blob := range [][]byte{layer, config, manifest} {
		entries = append(entries, entry{fmt.Sprintf("blobs/sha256/%x", sha256.Sum256(blob)), blob, 0o644})
	}
	image, err := archive(entries)
	if err != nil {
		return fmt.Errorf("making image %s: %w", name, err)
	}
	return os.WriteFile(file, image, 0o600)
}

type entry struct {
	name    string
	content []byte
	mode    int64
}

func archive(entries []entry) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, entry := range entries {
		header := &tar.Header{Name: entry.name, Mode: entry.mode, Size: int64(len(entry.content))}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(entry.content); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

func digest(blob []byte) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(blob))
}

func descriptor(mediaType string, blob []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest(blob), "size": len(blob)}
}

// importImage gives the node in the namespaces of that process an image. It
// goes by standard input: the file may be out of sight in there.
func importImage(ctx context.Context, pid int, file string) error {
	image, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("importing an image: %w", err)
	}
	defer image.Close()
	command := exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(pid), "-n", "-m", "-p",
		filepath.Join(toolsDirectory(), "ctr"), "--address="+containerdSocket, "--namespace=k8s.io",
		"images", "import", "--local", "-")
	command.Stdin = image
	if err := runQuietly(command); err != nil {
		return fmt.Errorf("importing image %s: %w", file, err)
	}
	return nil
}

func runImport(args []string) int {
	flags := flag.NewFlagSet("cluster import", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: cluster import DIR FILE...")
		return 2
	}
	node, err := readNodeSummary(flags.Arg(0))
	for _, file := range flags.Args()[1:] {
		if err == nil {
			err = importImage(context.Background(), node.PID, file)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "cluster import: %v\n", err)
		return 1
	}
	return 0
}

// encodeJSON is for values that always have a JSON form.
func encodeJSON(value any) []byte {
	content, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return content
}

func writeJSON(file string, value any) error {
	return os.WriteFile(file, append(encodeJSON(value), '\n'), 0o600)
}
