//! From the pod's own token to the identity's, through the proxy.

use serde_json::json;

use crate::kubelet;
use crate::support::{Program, ask, claims};
use crate::world::{SERVICE_ACCOUNT, World};

impl World {
    pub async fn token_is_the_identitys(&self) {
        let client_id = self.client_id().await;
        let (mut proxy, port, header) = self.proxy().await;
        let requests = [
            ("IMDS", "2018-02-01", ("Metadata", "true")),
            (
                "App Service, the pod's own header",
                "2019-08-01",
                ("X-IDENTITY-HEADER", "true"),
            ),
            (
                "App Service, the header we set",
                "2019-08-01",
                ("X-IDENTITY-HEADER", header.as_str()),
            ),
        ];
        for (case, api_version, header) in requests {
            let (status, reply) = ask(port, api_version, header).await;
            assert_eq!(status, 200, "{case}: {reply}");
            let claims = claims(reply["access_token"].as_str().unwrap());
            assert_eq!(claims["appid"], client_id, "{case}");
            assert_eq!(claims["aud"], "https://vault.azure.net", "{case}");
            assert_eq!(claims["tid"], self.azure.tenant, "{case}");
        }
        let leaked = self
            .azure
            .journal()
            .into_iter()
            .filter(|entry| entry.listener == simazure::journal::Listener::Imds);
        assert_eq!(leaked.count(), 0, "the node's IMDS was asked");
        assert!(proxy.stop().success(), "{}", proxy.printed());
    }

    pub async fn wrong_subject_is_named(&self) {
        let credentials = format!("{}/federatedIdentityCredentials", self.identity_path());
        let listed = self.arm(reqwest::Method::GET, &credentials, None).await;
        let credential = &listed["value"][0];
        let mut properties = credential["properties"].clone();
        properties["subject"] = json!(format!(
            "system:serviceaccount:walk:{}",
            SERVICE_ACCOUNT.replace("sa", "sb")
        ));
        let path = format!("{credentials}/{}", credential["name"].as_str().unwrap());
        self.arm(
            reqwest::Method::PUT,
            &path,
            Some(json!({"properties": properties})),
        )
        .await;
        let (mut proxy, port, _) = self.proxy().await;
        let (status, reply) = ask(port, "2018-02-01", ("Metadata", "true")).await;
        assert_eq!(status, 400, "{reply}");
        let sentence = reply["error_description"].as_str().unwrap();
        assert!(sentence.contains("AADSTS700213"), "{sentence}");
        assert!(
            sentence.contains(&format!("system:serviceaccount:walk:{SERVICE_ACCOUNT}")),
            "{sentence}"
        );
        proxy.stop();
    }

    /// The proxy of the stored pod, its port, and the pod's uid.
    pub async fn proxy(&self) -> (Program, u16, String) {
        let pod = self
            .api
            .get("/api/v1/namespaces/walk/pods/httpbin-pod")
            .await;
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        let (proxy, port) =
            kubelet::start_proxy(&pod, &self.api, &self.azure, self.folder.path()).await;
        (proxy, port, uid)
    }
}
