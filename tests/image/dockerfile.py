"""Builds the Dockerfile's last stage with buildah, and compares its image with the one of `make image`.

Its first stage starts from an image of a registry, so it is not built here: its files are those that `make image`
made, which the same command would make in it. usage: dockerfile.py ARCHITECTURE
"""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

IMAGES = "target/image"


def image(archive):
    """What a runtime makes of an OCI archive: entrypoint and user, and each file with mode, owner and content."""
    with tarfile.open(archive) as layout:
        def blob(descriptor):
            return layout.extractfile("blobs/" + descriptor["digest"].replace(":", "/")).read()

        manifest = json.loads(blob(json.load(layout.extractfile("index.json"))["manifests"][0]))
        config = json.loads(blob(manifest["config"]))
        files = {}
        for layer in map(blob, manifest["layers"]):
            plain = gzip.decompress(layer) if layer.startswith(b"\x1f\x8b") else layer
            with tarfile.open(fileobj=io.BytesIO(plain)) as tree:
                for entry in tree:
                    content = tree.extractfile(entry).read() if entry.isfile() else None
                    files[entry.name] = (entry.mode & 0o7777, entry.uid, entry.gid, content)
    run = {key: config["config"].get(key) for key in ("Entrypoint", "User", "Cmd")}
    return run | {"architecture": config["architecture"], "os": config["os"]}, files


def build(architecture):
    """Builds with the first stage's files put in place of the stage."""
    stage, built, store = (os.path.abspath(f"{IMAGES}/{name}") for name in ("stage", "dockerfile.tar", "buildah"))
    for old in (stage, store):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(f"{IMAGES}/{architecture}", f"{stage}/source/{IMAGES}/{architecture}")
    command = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "vfs",
               "build", "--isolation", "chroot", "--quiet", "--timestamp", "0", "--platform", f"linux/{architecture}",
               "--build-context", f"build={stage}", "--tag", f"oci-archive:{built}", "."]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return built


def main():
    architecture = sys.argv[1]
    (run, files), (docker_run, docker_files) = (
        image(archive) for archive in (f"{IMAGES}/identity-injector-{architecture}.tar", build(architecture)))
    differences = [f"{key}: {run[key]} and {docker_run[key]}" for key in run if run[key] != docker_run[key]]
    differences += [name for name in sorted(files.keys() | docker_files.keys()) if files.get(name) != docker_files.get(name)]
    if differences:
        sys.exit("the Dockerfile's image differs: " + "; ".join(differences))
    print(f"the Dockerfile's last stage makes the same image: {', '.join(files)}")


main()
