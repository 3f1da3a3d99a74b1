//! What names a role and its assignment.

use uuid::Uuid;

/// The GUID of a role definition: the last segment of its id, whose start differs from scope to scope.
#[must_use]
pub fn role_guid(role_definition_id: &str) -> &str {
    role_definition_id.rsplit('/').next().unwrap_or_default()
}

/// The name of an assignment: the same for the same principal, role and scope, so that a second write finds the first.
#[must_use]
pub fn assignment_name(scope: &str, principal_id: &str, role_definition_id: &str) -> Uuid {
    let role = role_guid(role_definition_id);
    let what = format!("{scope}|{principal_id}|{role}").to_lowercase();
    Uuid::new_v5(&Uuid::NAMESPACE_URL, what.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{assignment_name, role_guid};

    const ROLE: &str = "/providers/Microsoft.Authorization/roleDefinitions/ACDD72A7";

    #[test]
    fn names_are_one_for_each_principal_role_and_scope() {
        let name = assignment_name("/subscriptions/s", "p", ROLE);
        let elsewhere = format!("/subscriptions/x{}", ROLE.to_lowercase());
        // scope, principal, role, whether it is the same assignment
        let table = [
            ("/subscriptions/s", "p", ROLE, true),
            ("/Subscriptions/S", "P", &elsewhere, true),
            ("/subscriptions/t", "p", ROLE, false),
            ("/subscriptions/s", "q", ROLE, false),
            ("/subscriptions/s", "p", "/x/roleDefinitions/b", false),
        ];
        for (scope, principal, role, same) in table {
            let other = assignment_name(scope, principal, role);
            assert_eq!(other == name, same, "{scope} {principal} {role}");
        }
        assert_eq!(name.get_version_num(), 5);
        assert_eq!(role_guid(ROLE), "ACDD72A7");
    }
}
