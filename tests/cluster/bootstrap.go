package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	pollEvery     = 50 * time.Millisecond
	discoveryPath = "/.well-known/openid-configuration"
	discoveryRole = "system:service-account-issuer-discovery"
)

// bootstrap makes of starting components a cluster that a test can use.
type bootstrap struct {
	admin     kubernetes.Interface
	anonymous kubernetes.Interface
}

func newBootstrap(kubeconfig string) (*bootstrap, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1 // No limit of our own: polling would soon reach it.
	admin, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the admin's client: %w", err)
	}
	anonymous, err := kubernetes.NewForConfig(rest.AnonymousClientConfig(config))
	if err != nil {
		return nil, fmt.Errorf("making the anonymous client: %w", err)
	}
	return &bootstrap{admin: admin, anonymous: anonymous}, nil
}

func (b *bootstrap) waitForAPIServer(ctx context.Context) error {
	return poll(ctx, "waiting for /readyz", func() error {
		return get(ctx, b.admin, "/readyz")
	})
}

// publishDiscovery lets anyone read the discovery document and the keys, as
// Entra has to, and returns when they can.
func (b *bootstrap) publishDiscovery(ctx context.Context) error {
	binding := &rbac.ClusterRoleBinding{
		ObjectMeta: meta.ObjectMeta{Name: "public-service-account-issuer-discovery"},
		RoleRef:    rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "ClusterRole", Name: discoveryRole},
		Subjects:   []rbac.Subject{{APIGroup: rbac.GroupName, Kind: rbac.GroupKind, Name: "system:unauthenticated"}},
	}
	if _, err := b.admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, meta.CreateOptions{}); err != nil {
		return fmt.Errorf("publishing the issuer's discovery document: %w", err)
	}
	return poll(ctx, "waiting for the issuer's discovery document", func() error {
		return get(ctx, b.anonymous, discoveryPath)
	})
}

// waitForControllers waits for the `default` ServiceAccount that they make:
// without it every pod is refused.
func (b *bootstrap) waitForControllers(ctx context.Context) error {
	return poll(ctx, "waiting for the default service account", func() error {
		_, err := b.admin.CoreV1().ServiceAccounts("default").Get(ctx, "default", meta.GetOptions{})
		return err
	})
}

// waitForNode waits until pods are put on the node: it is ready, and the taint
// that it had before is gone.
func (b *bootstrap) waitForNode(ctx context.Context) error {
	return poll(ctx, "waiting for the node", func() error {
		node, err := b.admin.CoreV1().Nodes().Get(ctx, nodeName, meta.GetOptions{})
		if err != nil {
			return err
		}
		if len(node.Spec.Taints) > 0 {
			return fmt.Errorf("node %s has taint %s", nodeName, node.Spec.Taints[0].Key)
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == core.NodeReady && condition.Status == core.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("node %s is not ready", nodeName)
	})
}

func waitForHTTP(ctx context.Context, url string) error {
	return poll(ctx, "waiting for "+url, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
}

func get(ctx context.Context, client kubernetes.Interface, path string) error {
	return client.Discovery().RESTClient().Get().AbsPath(path).Do(ctx).Error()
}

// poll calls try until it succeeds. If ctx ends first, the error says what was
// being done and why it last failed.
func poll(ctx context.Context, doing string, try func() error) error {
	var last error
	if err := wait.PollUntilContextCancel(ctx, pollEvery, true, func(context.Context) (bool, error) {
		err := try()
		// A try cut short by the end of ctx tells less than the one before it.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		return err == nil, nil
	}); err != nil {
		return fmt.Errorf("%s: %w", doing, last)
	}
	return nil
}
