//! The walk's pod in an AdmissionReview, as an API server would send it.

use serde_json::{Value, json};

const WALK: &str = include_str!("../../walk/pod.yaml");
/// Folder that the ServiceAccount admission plugin mounts a token at.
const API_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The pod with every default and the API token's volume, which are there before webhooks are asked.
///
/// # Errors
/// When the walk's pod is no YAML.
pub fn pod() -> anyhow::Result<Value> {
    let mut pod: Value = serde_saphyr::from_str(WALK)?;
    let service_account = pod["spec"]["serviceAccountName"].clone();
    fill(
        &mut pod["spec"],
        json!({
            "volumes": [{"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [
                    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
                ]}},
            ]}}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccount": service_account, "securityContext": {},
            "schedulerName": "default-scheduler", "priority": 0, "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": [toleration("not-ready"), toleration("unreachable")],
        }),
    );
    for container in pod["spec"]["containers"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        fill(
            container,
            json!({
                "resources": {}, "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File", "imagePullPolicy": "Always",
                "volumeMounts": [{"name": "kube-api-access-x7k2p", "readOnly": true, "mountPath": API_TOKEN}],
            }),
        );
    }
    let fields = json!({"f:metadata": {"f:annotations": {".": {}}, "f:labels": {".": {}, "f:app": {}}},
        "f:spec": {"f:containers": {"k:{\"name\":\"httpbin\"}": {".": {}, "f:image": {}, "f:name": {}, "f:env": {}}}}});
    fill(
        &mut pod["metadata"],
        json!({
            "namespace": "walk", "uid": "5f0c1c58-26b4-4f0e-9f0e-1d8a5a0f6c11",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "v1",
                "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}],
        }),
    );
    fill(&mut pod, json!({"status": {}}));
    Ok(pod)
}

/// The whole review.
///
/// # Errors
/// As [`pod`].
pub fn review() -> anyhow::Result<Value> {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let options = json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1",
        "fieldManager": "kubectl-client-side-apply", "fieldValidation": "Strict"});
    Ok(
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": "0df28fbd-5f5f-11e8-bc74-36e6bb280816", "kind": kind, "resource": resource,
            "requestKind": kind, "requestResource": resource, "name": "httpbin-pod", "namespace": "walk",
            "operation": "CREATE", "userInfo": {"username": "kubernetes-admin", "groups": [
                "kubeadm:cluster-admins", "system:authenticated",
            ]},
            "object": pod()?, "oldObject": null, "dryRun": false, "options": options,
        }}),
    )
}

fn toleration(condition: &str) -> Value {
    json!({"key": format!("node.kubernetes.io/{condition}"), "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 300})
}

/// Adds what the object lacks.
fn fill(object: &mut Value, defaults: Value) {
    if let (Some(object), Value::Object(defaults)) = (object.as_object_mut(), defaults) {
        for (key, value) in defaults {
            object.entry(key).or_insert(value);
        }
    }
}
