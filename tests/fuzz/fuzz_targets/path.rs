//! Any bytes as a request's target: none that is handed on can be read as the node's identity.

#![no_main]

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue, Method, Uri};
use identity_injector::proxy::imds::{Route, Rules, route};
use identity_injector::proxy::path::collapsed;
use identity_injector::proxy::resource_ids::ResourceIds;
use libfuzzer_sys::fuzz_target;

#[path = "../../proxy/reading.rs"]
mod reading;

fuzz_target!(|target: &[u8]| {
    let Ok(uri) = Uri::try_from(target) else {
        return;
    };
    let headers: HeaderMap = [(
        http::header::HeaderName::from_static("metadata"),
        HeaderValue::from_static("true"),
    )]
    .into_iter()
    .collect();
    if route(&Method::GET, &uri, &headers, rules()) == Route::Passthrough {
        assert!(!reading::means_identity(collapsed(uri.path())), "{uri}");
    }
});

fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| Rules {
        tenant_id: Arc::from("tenant"),
        client_id: Some(Arc::from("client")),
        identity_headers: Vec::new(),
        resource_ids: ResourceIds::default(),
    })
}
