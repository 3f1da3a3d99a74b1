//! Lists in pages. A later page shows what is stored when it is asked for, under the version of the first:
//! a watch from there heals the difference.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::{Form, metadata};
use crate::refusal::Refusal;
use crate::store::Store;

/// A part of a list.
pub(crate) struct Page {
    /// Most objects in it; 0 for all.
    pub(crate) limit: usize,
    /// Version of the first page, and the last object told; None in the first.
    after: Option<(u64, String)>,
}

impl Page {
    /// The page after `token`, which is empty for the first.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`] when the token is none of this server's.
    pub(crate) fn after(token: &str, limit: usize) -> Result<Self, Refusal> {
        let after = match token.split_once(':') {
            _ if token.is_empty() => None,
            Some((version, place)) => version.parse().ok().map(|it| (it, place.to_owned())),
            None => None,
        };
        if after.is_none() && !token.is_empty() {
            let why = format!("continue key is not valid: {token:?}");
            return Err(Refusal::BadRequest(why));
        }
        Ok(Self { limit, after })
    }

    /// The page as an answer; it names the next where there is one.
    pub(crate) fn of(
        &self,
        store: &Store,
        kind: Kind,
        namespace: Option<&str>,
        name: Option<&str>,
        form: Form,
    ) -> Value {
        let (version, after) = match &self.after {
            Some((version, after)) => (*version, after.as_str()),
            None => (store.version(), ""),
        };
        let mut objects = store.list(kind, namespace);
        objects.retain(|object| name.is_none_or(|name| metadata(object, "name") == name));
        objects.retain(|object| place(object).as_str() > after);
        let length = match self.limit {
            0 => objects.len(),
            limit => limit.min(objects.len()),
        };
        let remaining = objects.split_off(length).len();
        let mut page = form.of_list(kind, version, objects.iter().map(|it| &**it));
        if let (Some(last), 1..) = (objects.last(), remaining) {
            page["metadata"]["continue"] = json!(format!("{version}:{}", place(last)));
            page["metadata"]["remainingItemCount"] = json!(remaining);
        }
        page
    }
}

/// Orders objects as the store lists them: NUL stands before every character of a name.
fn place(object: &Arc<Value>) -> String {
    format!(
        "{}\0{}",
        metadata(object, "namespace"),
        metadata(object, "name")
    )
}
