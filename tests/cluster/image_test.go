package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImageIsAnOCILayoutWithAName(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("static"), 0o700); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image.tar")
	if err := writeImage(image, "app.test/app:1", program); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	files := map[string][]byte{}
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		if sum, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && sum != fmt.Sprintf("%x", sha256.Sum256(content)) {
			t.Errorf("blob %s has another digest", sum)
		}
	}
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	manifest := index.Manifests[0]
	if got := manifest.Annotations["io.containerd.image.name"]; got != "app.test/app:1" {
		t.Errorf("named %q", got)
	}
	if _, ok := files["blobs/sha256/"+strings.TrimPrefix(manifest.Digest, "sha256:")]; !ok {
		t.Errorf("manifest %s is not in the layout", manifest.Digest)
	}
}

func TestHiddenDirectories(t *testing.T) {
	cases := map[string]bool{
		"/tmp/node": false,
		"/variable": false,
		"/var":      true,
		"/var/tmp":  true,
		"/run/node": true,
		"/etc/node": true,
	}
	for dir, want := range cases {
		if got := hidden(dir); got != want {
			t.Errorf("%s: %v, want %v", dir, got, want)
		}
	}
}
