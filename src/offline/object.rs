//! The objects in a document: the document itself, or what a List holds.

use serde_json::Value;

/// An object in a document.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// JSON pointer of the object in its document; empty for the document itself.
    pub pointer: String,
    /// Its kind; where it says none, that of the list it stands in.
    pub kind: &'a str,
    /// Its API version, which comes from where the kind does; empty where none is said.
    pub api_version: &'a str,
    /// As it came.
    pub raw: &'a Value,
}

/// Every object in a document; of a List its items, however deep.
#[must_use]
pub fn objects(document: &Value) -> Vec<Object<'_>> {
    let root = Object {
        pointer: String::new(),
        kind: text(document, "/kind").unwrap_or_default(),
        api_version: text(document, "/apiVersion").unwrap_or_default(),
        raw: document,
    };
    root.flat()
}

impl<'a> Object<'a> {
    fn flat(self) -> Vec<Object<'a>> {
        let items = self.raw.get("items").and_then(Value::as_array);
        match (self.kind.strip_suffix("List"), items) {
            (Some(kind), Some(items)) => {
                let items = items.iter().enumerate();
                items
                    .flat_map(|(index, item)| self.item(kind, index, item).flat())
                    .collect()
            }
            _ => vec![self],
        }
    }

    /// An item of this list. The API server says the kind of a list's items once, in the list's own.
    fn item(&self, kind: &'a str, index: usize, raw: &'a Value) -> Self {
        let own = text(raw, "/kind");
        let api_version = match own {
            Some(_) => "",
            None => self.api_version,
        };
        Object {
            pointer: format!("{}/items/{index}", self.pointer),
            kind: own.unwrap_or(kind),
            api_version: text(raw, "/apiVersion").unwrap_or(api_version),
            raw,
        }
    }

    /// The text at a JSON pointer; none where it is empty.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&'a str> {
        text(self.raw, pointer)
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    let text = value.pointer(pointer)?.as_str()?;
    (!text.is_empty()).then_some(text)
}
