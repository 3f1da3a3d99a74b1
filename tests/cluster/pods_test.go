//go:build node

package main

import (
	"context"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

const (
	podWithin  = 60 * time.Second
	probeImage = "cluster.test/probe:1"
)

// pods are those of one namespace.
type pods struct {
	client    kubernetes.Interface
	namespace string
}

func probe(name string, args ...string) core.Container {
	return core.Container{Name: name, Image: probeImage, Args: args}
}

func podOf(name string, containers ...core.Container) *core.Pod {
	return &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec:       core.PodSpec{Containers: containers, RestartPolicy: core.RestartPolicyNever},
	}
}

func (p pods) submit(t *testing.T, pod *core.Pod) {
	t.Helper()
	if _, err := p.client.CoreV1().Pods(p.namespace).Create(t.Context(), pod, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// startServer starts a pod behind a Service and waits until it is ready.
func (p pods) startServer(t *testing.T) *core.Pod {
	t.Helper()
	pod := podOf("server", probe("server", "serve", ":8080"), probe("beside", "serve", ":8081"))
	pod.Spec.RestartPolicy = core.RestartPolicyAlways
	p.submit(t, pod)
	service := &core.Service{
		ObjectMeta: meta.ObjectMeta{Name: "server"},
		Spec: core.ServiceSpec{
			Selector: pod.Labels,
			Ports:    []core.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	if _, err := p.client.CoreV1().Services(p.namespace).Create(t.Context(), service, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return p.wait(t, "server", func(pod *core.Pod) bool {
		for _, condition := range pod.Status.Conditions {
			if condition.Type == core.PodReady {
				return condition.Status == core.ConditionTrue
			}
		}
		return false
	})
}

// wait waits for a state of the pod; one that ended in another will never be in it.
func (p pods) wait(t *testing.T, name string, until func(*core.Pod) bool) *core.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), podWithin)
	defer cancel()
	for {
		pod, err := p.client.CoreV1().Pods(p.namespace).Get(ctx, name, meta.GetOptions{})
		if err != nil {
			t.Fatalf("waiting for pod %s: %v", name, err)
		}
		if until(pod) {
			return pod
		}
		if phase := pod.Status.Phase; phase == core.PodFailed || phase == core.PodSucceeded {
			container := pod.Spec.Containers[0].Name
			t.Fatalf("pod %s is %s: %s", name, phase, p.log(t, name, container))
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			t.Fatalf("pod %s is still %s: %+v", name, pod.Status.Phase, pod.Status.ContainerStatuses)
		}
	}
}

func (p pods) log(t *testing.T, pod, container string) string {
	t.Helper()
	log, err := p.client.CoreV1().Pods(p.namespace).GetLogs(pod, &core.PodLogOptions{Container: container}).DoRaw(t.Context())
	if err != nil {
		t.Error(err)
	}
	return string(log)
}
