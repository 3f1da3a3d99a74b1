//! What is answered to reviews, and to everything else that is sent.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::{ID, World, client_id, pod, review};

#[tokio::test]
async fn answers_in_the_version_asked_and_says_what_it_is_not_for() {
    let world = World::start(&[]).await;
    let mut part = review("v1", &pod("app"), "CREATE");
    part["request"]["subResource"] = json!("ephemeralcontainers");
    let mut deployment = review("v1", &pod("app"), "CREATE");
    deployment["request"]["kind"] = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let only = "identity-injector changes pods on CREATE only, not ";
    let table = [
        ("v1", review("v1", &pod("app"), "CREATE"), Some(ID), None),
        (
            "v1beta1",
            review("v1beta1", &pod("app"), "CREATE"),
            Some(ID),
            None,
        ),
        (
            "update",
            review("v1", &pod("app"), "UPDATE"),
            None,
            Some("Pod on UPDATE"),
        ),
        (
            "deletion",
            review("v1", &Value::Null, "DELETE"),
            None,
            Some("Pod on DELETE"),
        ),
        (
            "subresource",
            part,
            None,
            Some("Pod/ephemeralcontainers on CREATE"),
        ),
        ("other kind", deployment, None, Some("Deployment on CREATE")),
        (
            "object is no object",
            review("v1", &json!("pod"), "CREATE"),
            None,
            Some("Pod on CREATE"),
        ),
    ];
    for (case, body, expected, warning) in table {
        let (status, reply) = world.post("application/json", "", body.to_string()).await;
        assert_eq!(
            (status, &reply["apiVersion"]),
            (200, &body["apiVersion"]),
            "{case}"
        );
        let response = &reply["response"];
        assert_eq!(
            (&response["uid"], &response["allowed"]),
            (&json!("u-1"), &json!(true)),
            "{case}"
        );
        assert_eq!(
            client_id(response).as_deref(),
            expected,
            "{case}: {response}"
        );
        let start = warning.map(|warning| format!("{only}{warning}"));
        let said = response["warnings"][0].as_str().unwrap_or_default();
        assert!(
            start.map_or(said.is_empty(), |start| said.starts_with(&start)),
            "{case}: {said}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_no_review_is_refused_in_a_sentence() {
    let world = World::start(&[]).await;
    let review = review("v1", &pod("app"), "CREATE").to_string();
    let table = [
        (
            "content type",
            "text/plain",
            review.clone(),
            400,
            "content type \"text/plain\": application/json is expected",
        ),
        ("upper case", "Application/JSON", review.clone(), 200, ""),
        (
            "charset",
            "application/json; charset=utf-8",
            review,
            200,
            "",
        ),
        (
            "empty",
            "application/json",
            String::new(),
            400,
            "request body is empty: an AdmissionReview is expected",
        ),
        (
            "no JSON",
            "application/json",
            "{".to_owned(),
            400,
            "request body is no AdmissionReview: EOF while parsing",
        ),
        (
            "a pod",
            "application/json",
            pod("app").to_string(),
            400,
            "request body is no AdmissionReview: missing field",
        ),
        (
            "too large",
            "application/json",
            " ".repeat(8 << 20),
            413,
            "request body is larger than 7340032 bytes (7 MiB), the most an AdmissionReview may have",
        ),
    ];
    for (case, content_type, body, status, sentence) in table {
        let (actual, reply) = world.post(content_type, "", body).await;
        assert_eq!(actual, status, "{case}: {reply}");
        assert!(
            reply.as_str().unwrap_or_default().contains(sentence),
            "{case}: {reply}"
        );
    }
}

#[tokio::test]
async fn another_path_or_method_is_told_where_reviews_go() {
    use reqwest::Method;
    let world = World::start(&[]).await;
    let elsewhere = world.reviews.replace("/mutate-v1-pod", "/mutate");
    let table = [
        (
            Method::POST,
            &elsewhere,
            (404, ""),
            "nothing is at /mutate: AdmissionReviews are posted to /mutate-v1-pod or /warn-v1-workload",
        ),
        (
            Method::GET,
            &world.reviews,
            (405, "POST"),
            "method GET: AdmissionReviews are sent by POST",
        ),
        (
            Method::PUT,
            &world.reviews,
            (405, "POST"),
            "method PUT: AdmissionReviews are sent by POST",
        ),
    ];
    for (method, url, expected, sentence) in table {
        let reply = world.client.request(method, url).send().await.unwrap();
        let allow = reply.headers().get("allow").cloned();
        let allow = allow.as_ref().map_or("", |allow| allow.to_str().unwrap());
        assert_eq!((reply.status().as_u16(), allow), expected, "{sentence}");
        assert_eq!(reply.text().await.unwrap(), sentence);
    }
}

/// Whoever applies a workload is told what its pods will lack, and nobody is held up.
#[tokio::test]
async fn workloads_are_warned_of_and_counted() {
    let world = World::start(&[]).await;
    let labels = json!({"azure.workload.identity/use": "true"});
    let deployment = |template: Value| json!({"metadata": {"name": "web", "labels": labels}, "spec": {"template": template}});
    let mut refused = pod("app");
    refused["metadata"]["annotations"] =
        json!({"azure.workload.identity/inject-proxy-sidecar": "perhaps"});
    let above = "azure.workload.identity/use does nothing here; set it on the pod template";
    let cron_job = |metadata: Value| json!({"metadata": {"name": "web"}, "spec": {"jobTemplate": {"metadata": metadata, "spec": {"template": {"spec": {"containers": [{"name": "app"}]}}}}}});
    let table = [
        (
            "right",
            ["apps", "Deployment"],
            deployment(pod("app")),
            vec![],
        ),
        (
            "its ServiceAccount comes later",
            ["apps", "Deployment"],
            deployment(pod("later")),
            vec![],
        ),
        (
            "label between",
            ["batch", "CronJob"],
            cron_job(json!({"labels": labels})),
            vec![above],
        ),
        (
            "label above",
            ["apps", "Deployment"],
            deployment(json!({"spec": {"containers": [{"name": "app"}]}})),
            vec![above],
        ),
        (
            "refused",
            ["apps", "Deployment"],
            deployment(refused),
            vec![
                "its pods will be refused: azure.workload.identity/inject-proxy-sidecar: \"perhaps\" is not a boolean; use true, 1, yes,",
                "on, or false, 0, no, off",
            ],
        ),
    ];
    for (case, [group, kind], object, expected) in table {
        let mut body = review("v1", &object, "CREATE");
        body["request"]["kind"] = json!({"group": group, "version": "v1", "kind": kind});
        let url = world.reviews.replace("mutate-v1-pod", "warn-v1-workload");
        let reply = world.client.post(url).json(&body).send().await.unwrap();
        let reply: Value = reply.json().await.unwrap();
        let response = &reply["response"];
        assert_eq!(
            (&response["allowed"], &response["patch"]),
            (&json!(true), &Value::Null),
            "{case}"
        );
        let said: Vec<_> = response["warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(said, expected, "{case}");
    }
    let metrics = reqwest::get(format!("{}/metrics", world.health))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains("azwi_admission_warnings_total{reason=\"above_template\"} 2"),
        "{metrics}"
    );
    // The reference measures pods there.
    assert!(
        !metrics.contains("azwi_mutation_request_count{"),
        "{metrics}"
    );
}

/// A server that waits for acknowledgements before it sends the rest of an answer waits for 40 ms and more: a client
/// holds them back, in the hope of data to send along. Other load on this machine gets three tries.
#[tokio::test]
async fn the_first_answer_on_a_connection_waits_for_no_acknowledgement() {
    const DELAY: Duration = Duration::from_millis(40);
    let world = World::start(&[]).await;
    let body = review("v1", &pod("app"), "CREATE");
    let mut medians = Vec::new();
    while medians.len() < 3 && medians.iter().all(|median| *median >= DELAY) {
        let mut times = Vec::new();
        for _ in 0..11 {
            let client = world.certificates.client();
            let start = Instant::now();
            let reply = client.post(&world.reviews).json(&body).send().await;
            reply.unwrap().bytes().await.unwrap();
            times.push(start.elapsed());
        }
        times.sort_unstable();
        medians.push(times[5]);
    }
    assert!(*medians.last().unwrap() < DELAY, "{medians:?}");
}
