//! The rights that roles give, and what is said where one is missing.

use serde_json::{Value, json};

use crate::api::collection;
use crate::world::{World, until};

/// One verb on one kind of object, as a rule of a role gives it.
pub struct Right {
    role: Value,
    rule: usize,
    verb: String,
    group: String,
    pub resource: String,
    /// Empty where the rule names none.
    name: String,
}

/// All that the roles among these objects give.
pub fn rights(objects: &[Value]) -> Vec<Right> {
    let roles = objects.iter().filter(|object| object["rules"].is_array());
    roles.flat_map(rights_of_role).collect()
}

fn rights_of_role(role: &Value) -> Vec<Right> {
    let rules = role["rules"].as_array().unwrap().iter().enumerate();
    rules
        .flat_map(|(index, rule)| rights_of_rule(role, index, rule))
        .collect()
}

fn rights_of_rule(role: &Value, rule: usize, content: &Value) -> Vec<Right> {
    let list = |key: &str| {
        let list = content[key].as_array().into_iter().flatten();
        list.map(|it| it.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let right = |verb: &String, resource: &String| Right {
        role: role.clone(),
        rule,
        verb: verb.clone(),
        group: list("apiGroups").join(""),
        resource: resource.clone(),
        name: list("resourceNames").join(""),
    };
    let (verbs, resources) = (list("verbs"), list("resources"));
    let pairs = resources
        .iter()
        .flat_map(|it| verbs.iter().map(move |verb| right(verb, it)));
    pairs.collect()
}

impl Right {
    /// What the API server says to who lacks it.
    pub fn missed(&self) -> String {
        format!("cannot {} resource \"{}\"", self.verb, self.resource)
    }

    fn role_path(&self) -> String {
        let metadata = &self.role["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let roles = collection(&self.role, namespace).unwrap();
        format!("{roles}/{}", metadata["name"].as_str().unwrap())
    }

    /// The role's rules without it.
    fn others(&self) -> Value {
        let mut all = self.role["rules"].clone();
        let rules = all.as_array_mut().unwrap();
        let mut others = rules[self.rule].clone();
        let drop = |list: &mut Value, what: &str| {
            list.as_array_mut().unwrap().retain(|it| it != what);
            !list.as_array().unwrap().is_empty()
        };
        if drop(&mut others["resources"], &self.resource) {
            rules.push(others);
        }
        rules[self.rule]["resources"] = json!([self.resource]);
        if !drop(&mut rules[self.rule]["verbs"], &self.verb) {
            rules.remove(self.rule);
        }
        all
    }

    /// As a SubjectAccessReview asks for it.
    fn attributes(&self) -> Value {
        let mut resource = self.resource.split('/');
        let namespace = self.role["metadata"]["namespace"].as_str();
        json!({
            "verb": self.verb, "group": self.group, "resource": resource.next(), "subresource": resource.next(),
            "name": self.name, "namespace": namespace.unwrap_or("default"),
        })
    }
}

impl World {
    /// Runs while a ServiceAccount, `NAMESPACE:NAME`, lacks a right.
    pub async fn lacking<T>(
        &self,
        account: &str,
        right: &Right,
        run: impl AsyncFnOnce() -> T,
    ) -> T {
        let path = right.role_path();
        let attributes = right.attributes();
        self.api
            .patch(&path, &json!({"rules": right.others()}))
            .await;
        self.until_may(account, &attributes, false).await;
        let ended = run().await;
        let rules = &right.role["rules"];
        self.api.patch(&path, &json!({"rules": rules})).await;
        self.until_may(account, &attributes, true).await;
        ended
    }

    /// Waits until the API server, which learns of roles after a while, allows a ServiceAccount that or no longer does.
    pub async fn until_may(&self, account: &str, attributes: &Value, may: bool) {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": format!("system:serviceaccount:{account}"), "resourceAttributes": attributes},
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        until("the roles are known", async || {
            let answer = self.api.post(path, &review.to_string()).await.unwrap();
            answer["status"]["allowed"] == may
        })
        .await;
    }
}
