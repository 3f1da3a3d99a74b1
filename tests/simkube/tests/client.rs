//! The server as the real client sees it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may fail like tests"
)]

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use simkube::{Cluster, Options};

const CLIENT_ID: &str = "azure.workload.identity/client-id";

async fn cluster() -> Cluster {
    simkube::start(Options::default()).await.unwrap()
}

async fn client(cluster: &Cluster) -> Client {
    let kubeconfig = serde_saphyr::from_str(&cluster.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    // The client's own retries would hide the outages that are looked for.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn account(name: &str, client_id: &str) -> Value {
    json!({
        "kind": "ServiceAccount", "apiVersion": "v1",
        "metadata": {"namespace": "default", "name": name, "annotations": {CLIENT_ID: client_id}},
    })
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("no answer of the server: {other}"),
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    let cluster = cluster().await;
    for name in ["e", "a", "d", "b", "c"] {
        cluster.put(account(name, "id")).unwrap();
    }
    let accounts: Api<ServiceAccount> = Api::all(client(&cluster).await);
    let (mut pages, mut versions) = (Vec::new(), Vec::new());
    let mut params = ListParams::default().limit(2);
    loop {
        let page = accounts.list(&params).await.unwrap();
        pages.push(
            page.iter()
                .map(ServiceAccount::name_any)
                .collect::<String>(),
        );
        versions.push(page.metadata.resource_version.clone());
        // A change between pages does not move the version that a watch starts from.
        cluster.put(account("e", "other")).unwrap();
        match page.metadata.continue_ {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(pages, ["ab", "cd", "e"]);
    assert!(
        versions.iter().all(|version| *version == versions[0]),
        "{versions:?}"
    );

    let odd = accounts
        .list(&params.continue_token("odd"))
        .await
        .unwrap_err();
    assert_eq!(code(&odd), 400);
}

#[tokio::test]
async fn objects_live_and_die() {
    let cluster = cluster().await;
    let client = client(&cluster).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "m"}, "data": {"k": "v"}})).unwrap();

    let created = maps.create(&PostParams::default(), &map).await.unwrap();
    assert_eq!(created.namespace().as_deref(), Some("default"));
    assert!(created.uid().is_some() && created.creation_timestamp().is_some());
    assert_eq!(maps.get("m").await.unwrap(), created);
    let again = maps.create(&PostParams::default(), &map).await.unwrap_err();
    assert_eq!(code(&again), 409);
    assert!(
        again
            .to_string()
            .contains("configmaps \"m\" already exists"),
        "{again}"
    );

    let elsewhere: Api<ConfigMap> = Api::namespaced(client.clone(), "nowhere");
    let homeless = elsewhere
        .create(&PostParams::default(), &map)
        .await
        .unwrap_err();
    assert!(
        homeless
            .to_string()
            .contains("namespaces \"nowhere\" not found"),
        "{homeless}"
    );
    assert!(
        elsewhere
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );

    let everywhere: Api<ConfigMap> = Api::all(client.clone());
    assert_eq!(
        everywhere.list(&ListParams::default()).await.unwrap().items,
        std::slice::from_ref(&created)
    );
    let selected = everywhere
        .list(&ListParams::default().labels("a=b"))
        .await
        .unwrap_err();
    assert_eq!(code(&selected), 400, "selectors are refused, not ignored");

    let other = Preconditions {
        uid: Some("other".to_owned()),
        resource_version: None,
    };
    let params = DeleteParams {
        preconditions: Some(other),
        ..DeleteParams::default()
    };
    assert_eq!(code(&maps.delete("m", &params).await.unwrap_err()), 409);
    maps.delete("m", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(&maps.get("m").await.unwrap_err()), 404);
    assert_eq!(
        code(
            &maps
                .delete("m", &DeleteParams::default())
                .await
                .unwrap_err()
        ),
        404
    );

    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pods.create(
        &PostParams::default(),
        &serde_json::from_value(pod).unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(
        pods.get("p").await.unwrap().spec.unwrap().containers[0].name,
        "c"
    );

    let namespaces: Api<Namespace> = Api::all(client);
    let names: Vec<String> = namespaces
        .list(&ListParams::default())
        .await
        .unwrap()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(names, ["default", "kube-system"]);
    assert_eq!(
        cluster.get("Pod", "default", "p").unwrap()["spec"]["containers"][0]["image"],
        "i"
    );
}

#[tokio::test]
async fn only_the_administrator_is_served_and_the_journal_has_all() {
    let cluster = cluster().await;
    let mut kubeconfig: Value = serde_json::from_str(&cluster.kubeconfig()).unwrap();
    kubeconfig["users"][0]["user"]["token"] = json!("guess");
    let stranger = Client::try_from(
        Config::from_custom_kubeconfig(
            serde_json::from_value(kubeconfig).unwrap(),
            &Default::default(),
        )
        .await
        .unwrap(),
    )
    .unwrap();
    assert_eq!(code(&stranger.apiserver_version().await.unwrap_err()), 401);
    let discovery: Value = text(&stranger, "/.well-known/openid-configuration").await;
    assert_eq!(discovery["issuer"], cluster.url());
    assert_eq!(
        discovery["jwks_uri"],
        format!("{}/openid/v1/jwks", cluster.url())
    );

    let version = client(&cluster).await.apiserver_version().await.unwrap();
    assert_eq!(
        (&*version.major, &*version.minor, &*version.git_version),
        ("1", "36", "v1.36.3")
    );
    let requests = cluster.requests();
    let paths: Vec<&str> = requests
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    assert_eq!(
        paths,
        ["/version", "/.well-known/openid-configuration", "/version"]
    );
}

#[tokio::test]
async fn the_version_is_an_option() {
    let options = Options {
        version: "v1.28.15".to_owned(),
        ..Options::default()
    };
    let cluster = simkube::start(options).await.unwrap();
    assert_eq!(
        client(&cluster)
            .await
            .apiserver_version()
            .await
            .unwrap()
            .minor,
        "28"
    );
    let options = Options {
        version: "1.28".to_owned(),
        ..Options::default()
    };
    assert!(
        simkube::start(options)
            .await
            .unwrap_err()
            .to_string()
            .contains("\"1.28\"")
    );
}

#[tokio::test]
async fn watches_see_what_happens() {
    for mode in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let cluster = cluster().await;
        cluster.put(account("first", "a")).unwrap();
        let client = client(&cluster).await;
        let mut events = pin!(watcher(metadata(&client), mode.clone()).map(short));
        let accounts: Api<ServiceAccount> = Api::all(client);
        let mut whole =
            pin!(watcher(accounts, mode).map(|event| event.map(|event| event.to_string())));
        for want in ["init", "listed first=a", "done"] {
            assert_eq!(next(&mut events).await, Ok(want.to_owned()));
        }
        for want in ["Init", "InitApply(first)", "InitDone"] {
            assert_eq!(within(whole.next()).await.unwrap().unwrap(), want);
        }

        cluster.put(account("second", "b")).unwrap();
        cluster.put(account("second", "c")).unwrap();
        cluster
            .delete("ServiceAccount", "default", "first")
            .unwrap();
        for want in ["second=b", "second=c", "deleted first=a"] {
            assert_eq!(next(&mut events).await, Ok(want.to_owned()));
        }
        for want in ["Apply(second)", "Apply(second)", "Delete(first)"] {
            assert_eq!(within(whole.next()).await.unwrap().unwrap(), want);
        }
    }
}

#[tokio::test]
async fn the_namespaced_watch_sees_its_namespace() {
    let cluster = cluster().await;
    let accounts: Api<PartialObjectMeta<ServiceAccount>> =
        Api::namespaced(client(&cluster).await, "kube-system");
    let mut events = pin!(watcher(accounts, watcher::Config::default()).map(short));
    for want in ["init", "done"] {
        assert_eq!(next(&mut events).await, Ok(want.to_owned()));
    }
    cluster.put(account("elsewhere", "a")).unwrap();
    let mut inside = account("inside", "b");
    inside["metadata"]["namespace"] = json!("kube-system");
    cluster.put(inside).unwrap();
    assert_eq!(next(&mut events).await, Ok("inside=b".to_owned()));
}

#[tokio::test]
async fn watches_recover_from_outages_and_lost_history() {
    let cluster = cluster().await;
    let client = client(&cluster).await;
    let mut events = pin!(watcher(metadata(&client), watcher::Config::default()).map(short));
    for want in ["init", "done"] {
        assert_eq!(next(&mut events).await, Ok(want.to_owned()));
    }
    cluster.put(account("a", "1")).unwrap();
    assert_eq!(next(&mut events).await, Ok("a=1".to_owned()));

    cluster.pause();
    assert_eq!(code(&client.apiserver_version().await.unwrap_err()), 503);
    assert!(
        next(&mut events).await.is_err(),
        "the open watch breaks off"
    );
    cluster.put(account("a", "2")).unwrap();
    cluster.resume();
    assert_eq!(next_event(&mut events).await, "a=2", "resumes where it was");

    cluster.pause();
    assert!(next(&mut events).await.is_err());
    cluster.put(account("a", "3")).unwrap();
    cluster.compact();
    cluster.resume();
    for want in ["init", "listed a=3", "done"] {
        assert_eq!(
            next_event(&mut events).await,
            want,
            "410 leads to a new list"
        );
    }
}

#[tokio::test]
async fn a_watch_ends_in_time_with_a_bookmark_and_is_taken_up() {
    let cluster = cluster().await;
    let config = watcher::Config::default().timeout(1);
    let mut events = pin!(watcher(metadata(&client(&cluster).await), config).map(short));
    for want in ["init", "done"] {
        assert_eq!(next(&mut events).await, Ok(want.to_owned()));
    }
    let meanwhile = async {
        // Once the watch is open, a change of another kind, and the history is lost: only the
        // bookmark at the end of the first watch lets the second start where it must.
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster
            .put(json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "other"}}))
            .unwrap();
        cluster.compact();
        tokio::time::sleep(Duration::from_millis(1000)).await;
        cluster.put(account("a", "1")).unwrap();
    };
    let (event, ()) = tokio::join!(next(&mut events), meanwhile);
    assert_eq!(event, Ok("a=1".to_owned()));
}

#[tokio::test]
async fn apply_respects_owners() {
    let cluster = cluster().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client(&cluster).await, "default");
    let apply = async |manager: &str, annotations: Value, force: bool| {
        let object = json!({
            "kind": "ServiceAccount", "apiVersion": "v1",
            "metadata": {"name": "sa", "annotations": annotations},
        });
        let params = PatchParams {
            force,
            ..PatchParams::apply(manager)
        };
        accounts.patch("sa", &params, &Patch::Apply(object)).await
    };

    let created = apply("setup", json!({"id": "1", "tenant": "t"}), false)
        .await
        .unwrap();
    let entry = &created.managed_fields()[0];
    assert_eq!(entry.manager.as_deref(), Some("setup"));
    assert_eq!(entry.operation.as_deref(), Some("Apply"));
    let same = apply("setup", json!({"id": "1", "tenant": "t"}), false)
        .await
        .unwrap();
    assert_eq!(same, created, "nothing to do is no write");

    let conflict = apply("other", json!({"id": "2"}), false).await.unwrap_err();
    assert_eq!(code(&conflict), 409);
    let message = "Apply failed with 1 conflict: conflict with \"setup\": .metadata.annotations.id";
    assert!(conflict.to_string().contains(message), "{conflict}");
    apply("other", json!({"id": "2", "more": "m"}), true)
        .await
        .unwrap();

    let on = async |version: Option<String>| {
        let patch = Patch::Apply(json!({
            "kind": "ServiceAccount", "apiVersion": "v1",
            "metadata": {"name": "sa", "resourceVersion": version, "annotations": {"n": "1"}},
        }));
        accounts
            .patch("sa", &PatchParams::apply("third"), &patch)
            .await
    };
    let stale = on(created.resource_version()).await.unwrap_err();
    assert_eq!(code(&stale), 409);
    assert!(
        stale.to_string().contains("the object has been modified"),
        "{stale}"
    );
    let last = accounts.get("sa").await.unwrap();
    on(last.resource_version()).await.unwrap();
    accounts
        .patch(
            "sa",
            &PatchParams::apply("third"),
            &Patch::Apply(json!({
                "kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "sa"},
            })),
        )
        .await
        .unwrap();

    let kept = apply("setup", json!({}), false).await.unwrap();
    let left: Vec<_> = kept
        .annotations()
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(left, ["id=2", "more=m"], "only the own key goes");
    let nobody = accounts
        .patch("sa", &PatchParams::default(), &Patch::Merge(json!({})))
        .await;
    assert_eq!(code(&nobody.unwrap_err()), 415);
}

#[tokio::test]
async fn tokens_verify_under_the_published_keys() {
    let issuer = "https://issuer.example.test/path/".to_owned();
    let options = Options {
        issuer: Some(issuer.clone()),
        ..Options::default()
    };
    let cluster = simkube::start(options).await.unwrap();
    let client = client(&cluster).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    cluster.put(account("sa", "1")).unwrap();
    let request = |seconds: Option<i64>| -> TokenRequest {
        let spec =
            json!({"audiences": ["api://AzureADTokenExchange"], "expirationSeconds": seconds});
        serde_json::from_value(json!({"spec": spec})).unwrap()
    };

    let answer = accounts
        .create_token_request("sa", &PostParams::default(), &request(Some(600)))
        .await
        .unwrap();
    let status = answer.status.unwrap();
    let token = status.token.unwrap();
    let jwks = text(&client, "/openid/v1/jwks").await;
    let claims = jwt::verified(&token, &jwks, &issuer, "api://AzureADTokenExchange");
    assert_eq!(claims["sub"], "system:serviceaccount:default:sa");
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        600
    );
    assert_eq!(
        claims["exp"],
        status.expiration_timestamp.unwrap().0.as_second()
    );
    assert_eq!(
        claims["kubernetes.io"]["serviceaccount"]["uid"],
        cluster.get("ServiceAccount", "default", "sa").unwrap()["metadata"]["uid"]
    );
    let token = cluster.token("default", "sa", "elsewhere").unwrap();
    jwt::verified(&token, &jwks, &issuer, "elsewhere");
    assert!(cluster.token("default", "nobody", "elsewhere").is_err());

    let short = accounts
        .create_token_request("sa", &PostParams::default(), &request(Some(599)))
        .await;
    assert_eq!(code(&short.unwrap_err()), 422);
    let nobody = accounts
        .create_token_request("nobody", &PostParams::default(), &request(None))
        .await;
    assert_eq!(code(&nobody.unwrap_err()), 404);
}

#[tokio::test]
async fn a_dropped_cluster_is_gone() {
    let cluster = cluster().await;
    let client = client(&cluster).await;
    client.apiserver_version().await.unwrap();
    drop(cluster);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = client.apiserver_version().await.unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "{error}");
}

/// Metadata of the ServiceAccounts of all namespaces.
fn metadata(client: &Client) -> Api<PartialObjectMeta<ServiceAccount>> {
    Api::all(client.clone())
}

/// An event in few words: what, which, and its client id.
fn short(
    event: watcher::Result<Event<PartialObjectMeta<ServiceAccount>>>,
) -> Result<String, String> {
    let named = |account: PartialObjectMeta<ServiceAccount>| {
        format!(
            "{}={}",
            account.name_any(),
            account.annotations()[CLIENT_ID]
        )
    };
    Ok(match event.map_err(|error| error.to_string())? {
        Event::Init => "init".to_owned(),
        Event::InitApply(account) => format!("listed {}", named(account)),
        Event::InitDone => "done".to_owned(),
        Event::Apply(account) => named(account),
        Event::Delete(account) => format!("deleted {}", named(account)),
    })
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("nothing within 10 s")
}

async fn next<T>(events: &mut (impl Stream<Item = T> + Unpin)) -> T {
    within(events.next()).await.unwrap()
}

/// The next event that is no error of an outage.
async fn next_event(events: &mut (impl Stream<Item = Result<String, String>> + Unpin)) -> String {
    loop {
        if let Ok(event) = next(events).await {
            return event;
        }
    }
}

async fn text(client: &Client, path: &str) -> Value {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    serde_json::from_str(&client.request_text(request).await.unwrap()).unwrap()
}

/// A reader of tokens that shares nothing with the signer but ring.
mod jwt {
    use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
    use jsonwebtoken::errors::ErrorKind;
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::signature::{Error, Verifier};
    use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation};
    use ring::rsa::PublicKeyComponents;
    use ring::signature::RSA_PKCS1_2048_8192_SHA256;
    use serde_json::Value;

    struct Rs256(DecodingKey);

    impl Verifier<Vec<u8>> for Rs256 {
        fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
            let DecodingKeyKind::RsaModulusExponent { n, e } = self.0.kind() else {
                return Err(Error::new());
            };
            PublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .map_err(|_| Error::new())
        }
    }

    impl JwtVerifier for Rs256 {
        fn algorithm(&self) -> Algorithm {
            Algorithm::RS256
        }
    }

    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
        verifier_factory: |_, key| Ok(Box::new(Rs256(key.clone()))),
        key_utils: KeyUtils::new_unimplemented(),
    };

    /// The claims, once signature, issuer, audience and times hold.
    pub fn verified(token: &str, jwks: &Value, issuer: &str, audience: &str) -> Value {
        let _ = PROVIDER.install_default();
        let keys: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
        let key_id = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        let key = DecodingKey::from_jwk(keys.find(&key_id).expect("the key is published")).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        jsonwebtoken::decode::<Value>(token, &key, &validation)
            .unwrap()
            .claims
    }
}
