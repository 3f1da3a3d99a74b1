//! The way by hand: the scripts of tests/walk/by-hand.

use serde_json::{Value, json};

use crate::world::World;

impl World {
    pub async fn az_signs_in(&self) {
        self.nothing_is_there().await;
        let printed = self.hand.run_script("sign-in.sh");
        let accounts: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(accounts[0]["cloudName"], "Simulated");
        assert_eq!(accounts[0]["id"], self.azure.subscription);
    }

    pub async fn commands_make_the_pod(&self) {
        let printed = self.hand.run_script("set-up.sh");
        let described = printed.rsplit_once("Init Containers:").unwrap().1;
        for name in ["azwi-proxy-init", "azwi-proxy", "httpbin"] {
            assert!(
                described.contains(&format!("  {name}:\n")),
                "{name} is not in {described}"
            );
        }
        let identities =
            &self.aks().await["properties"]["podIdentityProfile"]["userAssignedIdentities"];
        assert_eq!(identities[0]["name"], "podIdentityA");
    }

    /// What the commands were for, spelt out: the other ways are only compared with this one.
    pub async fn hand_made_token(&self) {
        let end = self.end().await;
        let identity = &end["identities"][0];
        let credential = json!({
            "issuer": self.issuer,
            "subject": "system:serviceaccount:walk:workload-identity-sa",
            "audiences": ["api://AzureADTokenExchange"],
        });
        assert_eq!(identity["federatedCredentials"], json!([credential]));
        let reader = "/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7";
        let role = identity["roleAssignments"][0]["roleDefinitionId"].as_str();
        assert!(role.unwrap().ends_with(reader), "{role:?}");
        let annotations = json!({"azure.workload.identity/client-id": "<client id>"});
        assert_eq!(
            end["serviceAccount"]["metadata"]["annotations"],
            annotations
        );
        for (claim, value) in [
            ("appid", "<client id>"),
            ("oid", "<principal id>"),
            ("aud", "https://vault.azure.net"),
            ("tid", self.azure.tenant),
        ] {
            assert_eq!(end["token"][claim], value, "{claim}");
        }
    }

    pub async fn pod_identity_goes(&self) {
        self.hand.run_script("migrated.sh");
        let profile = &self.aks().await["properties"]["podIdentityProfile"];
        assert_eq!(
            *profile,
            json!({"enabled": true, "userAssignedIdentities": []})
        );
        let end = self.end().await;
        assert_eq!(end["token"]["appid"], "<client id>");
        self.by_hand.set(end).unwrap();
    }

    /// The article leaves the tenant to the webhook's default; setup writes it down.
    pub async fn setup_finds_it_done(&self) {
        let plan = "identity-injector setup plan --config setup.yaml --sign-in azure-cli \
                    --ledger-namespace walk --output json";
        let plan: Value = serde_json::from_str(&self.hand.run_expecting(1, plan)).unwrap();
        let steps: Vec<_> = plan["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| &step["step"])
            .collect();
        assert_eq!(steps, ["annotateServiceAccount"]);
        let adopted: Vec<_> = plan["adopted"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["name"])
            .collect();
        assert_eq!(adopted, ["federatedIdentityA"]);
    }

    pub async fn commands_remove_all(&self) {
        self.hand.run_script("remove.sh");
        self.nothing_is_there().await;
    }
}
