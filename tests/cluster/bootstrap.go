package main

import (
	"context"
	"fmt"
	"time"

	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	pollEvery     = 50 * time.Millisecond
	discoveryPath = "/.well-known/openid-configuration"
	discoveryRole = "system:service-account-issuer-discovery"
)

// bootstrap makes of a starting API server a cluster that a test can use, and
// returns when it is one or starting ends. What has to go on afterwards goes
// on until ctx ends.
func bootstrap(ctx, starting context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1 // No limit of our own: polling would soon reach it.
	admin, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making the admin's client: %w", err)
	}
	anonymous, err := kubernetes.NewForConfig(rest.AnonymousClientConfig(config))
	if err != nil {
		return fmt.Errorf("making the anonymous client: %w", err)
	}

	if err := poll(starting, "waiting for /readyz", func() error {
		return get(starting, admin, "/readyz")
	}); err != nil {
		return err
	}

	go giveServiceAccounts(ctx, admin)
	if err := poll(starting, "waiting for the default service account", func() error {
		_, err := admin.CoreV1().ServiceAccounts("default").Get(starting, "default", meta.GetOptions{})
		return err
	}); err != nil {
		return err
	}

	if err := publishDiscovery(starting, admin); err != nil {
		return fmt.Errorf("publishing the issuer's discovery document: %w", err)
	}
	return poll(starting, "waiting for the issuer's discovery document", func() error {
		return get(starting, anonymous, discoveryPath)
	})
}

// giveServiceAccounts makes the `default` ServiceAccount in every namespace
// there is or will be, as a controller-manager would: without it every pod is
// refused. A pod created right after its namespace is fine, for the API server
// itself waits about a second for this one account.
func giveServiceAccounts(ctx context.Context, admin kubernetes.Interface) {
	// A watch ends from time to time, and another begins with what there is.
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		namespaces, err := admin.CoreV1().Namespaces().Watch(ctx, meta.ListOptions{})
		if err != nil {
			return
		}
		defer namespaces.Stop()
		for event := range namespaces.ResultChan() {
			namespace, ok := event.Object.(*core.Namespace)
			if !ok || event.Type != watch.Added {
				continue
			}
			account := &core.ServiceAccount{ObjectMeta: meta.ObjectMeta{Name: "default"}}
			_, err := admin.CoreV1().ServiceAccounts(namespace.Name).Create(ctx, account, meta.CreateOptions{})
			if err != nil && !errors.IsAlreadyExists(err) {
				return
			}
		}
	}, pollEvery)
}

// publishDiscovery lets anyone read the discovery document and the keys, as
// Entra has to.
func publishDiscovery(ctx context.Context, admin kubernetes.Interface) error {
	binding := &rbac.ClusterRoleBinding{
		ObjectMeta: meta.ObjectMeta{Name: "public-service-account-issuer-discovery"},
		RoleRef:    rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "ClusterRole", Name: discoveryRole},
		Subjects:   []rbac.Subject{{APIGroup: rbac.GroupName, Kind: rbac.GroupKind, Name: "system:unauthenticated"}},
	}
	_, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, meta.CreateOptions{})
	return err
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
