# Every target has its sentence; `make` lists them. CI runs these, in .ci/run's order.
# Builds name the whole workspace: its packages share features, so nothing is compiled twice.

CARGO_DENY := target/tools/bin/cargo-deny
CARGO_FUZZ := target/tools/bin/cargo-fuzz
ARCH ?= amd64
IMAGE := ghcr.io/identity-injector/identity-injector:0.1.0
KUBERNETES := 1.36.3
NODE := $(CURDIR)/target/node
KIND := $(CURDIR)/target/kind
SDK := target/sdk
SDKS := $(addprefix $(SDK)/,python/installed python-legacy/installed azure-cli/installed javascript/installed \
  java/installed go/token go-legacy/token rust/debug/token)
CERT_MANAGER := cert-manager/cert-manager@v1.21.2
PROMETHEUS_OPERATOR := prometheus-operator/prometheus-operator@v0.85.0
MUSL_amd64 := x86_64-unknown-linux-musl
MUSL_arm64 := aarch64-unknown-linux-musl
# Where the sources lie must not be in the binary: the same commit gives the same bytes everywhere. The linker folds
# functions that are the same and packs relocations: half a megabyte.
IMAGE_FLAGS := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo --remap-path-prefix=$(CURDIR)=/source \
  -C link-arg=--icf=all -C link-arg=--pack-dyn-relocs=relr
TERRAFORM := target/terraform
VERSION_FLAGS := $(addprefix -X k8s.io/component-base/version.,gitVersion=v$(KUBERNETES) gitMajor=1 gitMinor=36)

.DEFAULT_GOAL := help
.PHONY: help build static image dockerfile check pure deny test demo e2e e2e-node cluster reference kubectl test-cluster node node-up node-down test-node redirect
.PHONY: sdk walk arm-sdk terraform fuzz bench bless clean
.PHONY: keys node-images kubeadm kind kind-engine kind-up kind-e2e kind-down test-kind
.PHONY: chart chart-tools

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the binary for release
	cargo build --release --locked

static: ## Build the static binary that the image holds (ARCH=amd64 or arm64)
	rustup target add $(MUSL_$(ARCH))
	RUSTFLAGS='$(IMAGE_FLAGS)' cargo build --release --locked --target $(MUSL_$(ARCH))

image: static ## Build the container image as an OCI archive, without a container engine (ARCH=amd64 or arm64)
	rm -rf target/image/$(ARCH)
	cargo run --quiet --locked -p image -- --binary target/$(MUSL_$(ARCH))/release/identity-injector --architecture $(ARCH) \
	  --name $(IMAGE) --rootfs target/image/$(ARCH) --output target/image/identity-injector-$(ARCH).tar

dockerfile: image ## Check that the Dockerfile makes the same image (needs buildah, no engine)
	python3 tests/image/dockerfile.py $(ARCH)

check: pure keys deny chart ## Check format, lints, purity of the engine, that no key is in git, licences and bans of dependencies, the Helm chart
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

pure: ## Check that src/inject does no I/O and is not async
	! grep -rnE 'async |tokio|axum|reqwest|kube::|std::(env|fs|net|process|thread|time)' src/inject

keys: ## Check that no private key is in git: as PEM, or in a Secret, whose base64 has it in one of three ways
	git grep -lE -e 'BEGIN ([A-Z]+ )*PRIVATE KEY' -e '[U]FJJVkFURSBLRV|[B]SSVZBVEUgS0VZ|[Q]UklWQVRFIEtFW'; test $$? = 1 || \
	  { echo 'private keys are in git, in these files' >&2; exit 1; }

deny: $(CARGO_DENY) ## Check licences, bans and sources of dependencies
	$(CARGO_DENY) --locked check bans licenses sources

chart: chart-tools ## Check that the Helm chart installs what kustomize does, uses each value, names each wrong one (needs Go)
	tests/chart/bin/helm lint --quiet --strict manifests/chart
	cargo test --workspace --locked --test chart

chart-tools: ## Build helm, kustomize and Prometheus's reader of rules from Go modules
	cd tests/chart && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/ tool
	cd tests/chart/rules && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../bin/rules .

# The kinds of the Prometheus operator and of cert-manager, as they release them.
tests/chart/bin/crds: Makefile
	go mod download $(addprefix github.com/,$(CERT_MANAGER) $(PROMETHEUS_OPERATOR))
	mkdir -p $@ && cd $$(go env GOMODCACHE)/github.com && install -m 644 -t $(CURDIR)/$@ \
	  $(CERT_MANAGER)/deploy/crds/cert-manager.io_certificates.yaml \
	  $(addprefix $(PROMETHEUS_OPERATOR)/example/prometheus-operator-crd/monitoring.coreos.com_,prometheusrules.yaml servicemonitors.yaml)
	touch $@

$(CARGO_DENY):
	cargo install cargo-deny --version 0.20.2 --locked --root target/tools

test: check ## Check, then run unit and in-process tests
	cargo test --workspace --locked

demo: ## Walk from an annotated pod to an Azure token on this machine, all simulated
	cargo build --workspace --locked --bin identity-injector --example demo
	$${CARGO_TARGET_DIR:-target}/debug/examples/demo

e2e: cluster kubectl reference chart-tools tests/chart/bin/crds ## Walk on a real Kubernetes API server (needs Go), against a simulated Azure
	cargo test --workspace --locked --test e2e

node-images: static ## Build what the images of e2e-node are made of
	RUSTFLAGS='$(IMAGE_FLAGS)' cargo build --release --locked --target $(MUSL_amd64) -p app
	cargo build --workspace --locked --bin image

e2e-node: node node-images kubectl chart-tools ## Walk on a real node, with real pods (needs root, Go, runc, nft), against a simulated Azure
	cargo test --workspace --locked --test node -- $(ONLY)

walk: cluster kubectl $(SDK)/azure-cli/installed ## Walk the AKS article by the real az CLI and kubectl, and again by setup (needs root, Go, Python)
	cargo test --workspace --locked --test walk

cluster: ## Build etcd, the Kubernetes API server and its controllers from Go modules
	cd tests/cluster && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w $(VERSION_FLAGS)' -o bin/cluster .

reference: ## Build the reference's webhook, azure-workload-identity 1.6.0, from its Go module
	cd tests/reference && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../cluster/bin/reference-webhook \
	  github.com/Azure/azure-workload-identity/cmd/webhook

kubectl: ## Build kubectl from the API server's Go modules
	cd tests/cluster && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w $(VERSION_FLAGS)' -o bin/kubectl k8s.io/kubernetes/cmd/kubectl

kubeadm: ## Build kubeadm from the same modules
	cd tests/cluster && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w $(VERSION_FLAGS)' -o bin/kubeadm k8s.io/kubernetes/cmd/kubeadm

test-cluster: cluster ## Test the harness of the control plane itself
	cd tests/cluster && test -z "$$(gofmt -l .)" && CGO_ENABLED=0 go vet -trimpath ./... && CGO_ENABLED=0 go test -trimpath ./...

node: cluster ## Build what a node adds to that: containerd, the pods' network, DNS
	cd tests/cluster && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/pause ./pause
	cd tests/cluster/tools && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../bin/ tool

node-up: node ## Start a cluster of one node in the background (needs root, runc, nft); IMAGES is tar files for it
	tests/cluster/bin/cluster node --detach --dir $(NODE) $(addprefix --image ,$(IMAGES))
	@echo 'export KUBECONFIG=$(NODE)/kubeconfig'

node-down: ## End that cluster; the machine is as it was
	if [ -e $(NODE) ]; then tests/cluster/bin/cluster stop $(NODE) && rm -rf $(NODE); fi

test-node: node ## Test the node: its pods, and that it leaves the machine as it was (needs root, runc, nft)
	cd tests/cluster && CGO_ENABLED=0 go vet -trimpath -tags node ./... && \
	  CGO_ENABLED=0 go test -trimpath -tags node -count=1 -run '^TestNode' -v .

kind: ## Build the harness of kind, which puts a node into a container
	cd tests/kind && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/cluster .

kind-engine: kind ## Check that kind has a container engine: docker, podman or nerdctl
	tests/kind/bin/cluster engine

kind-up: kind-engine image ## Start a cluster by kind in the background, the image on its node (needs a container engine)
	tests/kind/bin/cluster node --detach --dir $(KIND) --image target/image/identity-injector-$(ARCH).tar
	@echo 'export KUBECONFIG=$(KIND)/kubeconfig'

kind-e2e: kind-engine node-images kubectl chart-tools ## Run the cases of e2e-node on a cluster by kind (needs root and a container engine)
	CLUSTER=tests/kind/bin/cluster cargo test --workspace --locked --test node -- $(ONLY)

kind-down: kind-engine ## End that cluster, or one that was left behind
	tests/kind/bin/cluster stop $(KIND)
	rm -rf $(KIND)

test-kind: kind kubeadm ## Test the harness of kind, its configuration by kind itself and kubeadm; no container engine needed
	cd tests/kind && test -z "$$(gofmt -l .)" && CGO_ENABLED=0 go vet -trimpath ./... && CGO_ENABLED=0 go test -trimpath -count=1 ./...

redirect: ## Redirect a pod's traffic on this kernel, each case in a network namespace of its own (needs root, nft)
	cargo test --workspace --locked --test redirect -- $(ONLY)

sdk: $(SDKS) ## Ask the proxy for tokens by the real SDKs, in a pod's network (needs root, Go, Java, Maven, Node.js, Python)
	cargo test --workspace --locked --test sdks -- $(ONLY)

arm-sdk: $(SDK)/resource-manager/installed ## Read and write the simulated Azure by the real management SDKs (needs Python)
	cargo test --workspace --locked --test management

terraform: $(TERRAFORM)/tofu $(TERRAFORM)/terraform-provider-azurerm ## Run the emitted Terraform by the real OpenTofu and azurerm provider (needs Go, and 10 minutes to build them)
	cargo test --workspace --locked --test terraform

$(TERRAFORM)/tofu: COMMAND := github.com/opentofu/opentofu/cmd/tofu
$(TERRAFORM)/terraform-provider-azurerm: COMMAND := github.com/hashicorp/terraform-provider-azurerm
$(TERRAFORM)/tofu: $(wildcard tests/terraform/tofu/go.*)
$(TERRAFORM)/terraform-provider-azurerm: $(wildcard tests/terraform/azurerm/go.*)
$(TERRAFORM)/%:
	cd $(<D) && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(CURDIR)/$@ $(COMMAND)

$(SDK)/%/installed: tests/sdk/%/requirements.txt
	rm -rf $(@D) && python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --no-deps --requirement $<
	touch $@

$(SDK)/javascript/installed: $(wildcard tests/sdk/javascript/*)
	rm -rf $(@D) && mkdir -p $(@D) && cp $^ $(@D)
	npm ci --silent --no-audit --no-fund --prefix $(@D)
	touch $@

$(SDK)/java/installed: tests/sdk/java/pom.xml tests/sdk/java/Token.java
	rm -rf $(@D)
	mvn --quiet --batch-mode --file $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(@D)/lib
	javac -cp '$(@D)/lib/*' -d $(@D) tests/sdk/java/Token.java
	touch $@

$(SDK)/go/token $(SDK)/go-legacy/token: $(SDK)/%/token: tests/sdk/%/main.go tests/sdk/%/go.mod tests/sdk/%/go.sum
	cd tests/sdk/$* && CGO_ENABLED=0 go build -trimpath -o $(CURDIR)/$@ .

$(SDK)/rust/debug/token: $(wildcard tests/sdk/rust/Cargo.* tests/sdk/rust/src/*)
	cargo build --locked --manifest-path tests/sdk/rust/Cargo.toml --target-dir $(SDK)/rust

fuzz: $(CARGO_FUZZ) ## Fuzz reviews, annotations and request paths for a minute each
	cd tests && for target in review annotations path; do \
	  RUSTC_BOOTSTRAP=1 $(CURDIR)/$(CARGO_FUZZ) run --fuzz-dir fuzz $$target -- -max_total_time=60 -max_len=16384 || exit 1; done

$(CARGO_FUZZ):
	cargo install cargo-fuzz --version 0.13.2 --locked --root target/tools

bench: static ## Measure the image's binary beside a floor on this machine (needs two cores, taskset)
	cargo build --release --locked -p bench
	taskset -c 0 target/release/bench target/$(MUSL_amd64)/release/identity-injector
	taskset -c 1 cargo bench --quiet --locked -p bench --bench engine

bless: ## Write the golden cases and emitted texts anew, to be reviewed as code
	BLESS=1 cargo test --workspace --locked --test golden
	BLESS=1 cargo test --workspace --locked --test setup golden_texts

clean: ## Remove what was built
	cargo clean
	rm -rf tests/chart/bin tests/cluster/bin tests/kind/bin
