//! Where the pod is in the objects that make pods.

/// The JSON pointer of a kind's pod or pod template; none where that kind makes no pods.
/// The API version counts, where one is said: somebody else's Job is not a Job.
#[must_use]
pub fn template(api_version: &str, kind: &str) -> Option<&'static str> {
    let (known, pointer) = match kind {
        "Pod" => ("v1", ""),
        "PodTemplate" => ("v1", "/template"),
        "ReplicationController" => ("v1", "/spec/template"),
        "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet" => ("apps/v1", "/spec/template"),
        "Job" => ("batch/v1", "/spec/template"),
        "CronJob" => ("batch/v1", "/spec/jobTemplate/spec/template"),
        _ => return None,
    };
    (api_version.is_empty() || api_version == known).then_some(pointer)
}
