package main

import (
	"context"
	"errors"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const controllersWithin = 60 * time.Second

func TestControllersAct(t *testing.T) {
	client := startUp(t).client(t)
	ctx, cancel := context.WithTimeout(t.Context(), controllersWithin)
	defer cancel()
	namespace := createNamespace(ctx, t, client, "controlled")

	labels := map[string]string{"app": "web"}
	deployment := &apps.Deployment{
		ObjectMeta: meta.ObjectMeta{Name: "web"},
		Spec: apps.DeploymentSpec{
			Selector: &meta.LabelSelector{MatchLabels: labels},
			Template: podTemplate(labels, core.RestartPolicyAlways),
		},
	}
	if _, err := client.AppsV1().Deployments(namespace).Create(ctx, deployment, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	job := &batch.Job{
		ObjectMeta: meta.ObjectMeta{Name: "once"},
		Spec:       batch.JobSpec{Template: podTemplate(nil, core.RestartPolicyNever)},
	}
	if _, err := client.BatchV1().Jobs(namespace).Create(ctx, job, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	for kind, selector := range map[string]string{"ReplicaSet": "app=web", "Job": "job-name=once"} {
		pod := firstPod(ctx, t, client, namespace, selector)
		owner := meta.GetControllerOf(pod)
		if owner == nil || owner.Kind != kind || pod.GenerateName != owner.Name+"-" {
			t.Errorf("pod %q, generated from %q, is owned by %+v, want a %s", pod.Name, pod.GenerateName, owner, kind)
		}
	}

	eventually(ctx, t, "waiting for the CA of the API server", func() error {
		_, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", meta.GetOptions{})
		return err
	})
	if err := client.CoreV1().Namespaces().Delete(ctx, namespace, meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(ctx, t, "waiting for the deleted namespace to be gone", func() error {
		_, err := client.CoreV1().Namespaces().Get(ctx, namespace, meta.GetOptions{})
		switch {
		case err == nil:
			return errors.New("it is still there")
		case apierrors.IsNotFound(err):
			return nil
		default:
			return err
		}
	})
}

func podTemplate(labels map[string]string, restart core.RestartPolicy) core.PodTemplateSpec {
	return core.PodTemplateSpec{
		ObjectMeta: meta.ObjectMeta{Labels: labels},
		Spec: core.PodSpec{
			RestartPolicy: restart,
			Containers:    []core.Container{{Name: "app", Image: "app.test/app:1"}},
		},
	}
}

func firstPod(ctx context.Context, t *testing.T, client kubernetes.Interface, namespace, selector string) *core.Pod {
	t.Helper()
	var first *core.Pod
	eventually(ctx, t, "waiting for a pod with "+selector, func() error {
		pods, err := client.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		if len(pods.Items) == 0 {
			return errors.New("there is none")
		}
		first = &pods.Items[0]
		return nil
	})
	return first
}

func eventually(ctx context.Context, t *testing.T, doing string, try func() error) {
	t.Helper()
	if err := poll(ctx, doing, try); err != nil {
		t.Fatal(err)
	}
}
