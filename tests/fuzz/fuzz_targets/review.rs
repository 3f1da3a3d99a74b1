//! Any bytes as the body of a review: read, decided, patched. The patch applies, and a second pass is empty.

#![no_main]

use identity_injector::inject::{Annotations, Decision, Input, decide, patch};
use identity_injector::webhook::review::Review;
use libfuzzer_sys::fuzz_target;

mod server;

fuzz_target!(|bytes: &[u8]| {
    let Ok(review) = Review::read(bytes) else {
        return;
    };
    let pod = &review.request.object;
    let account = server::account();
    let namespace = Annotations::default();
    let input = |pod| Input {
        pod,
        service_account: Some(&account),
        namespace: &namespace,
        defaults: server::defaults(),
    };
    let Decision::Inject(plan) = decide(&input(pod)).decision else {
        return;
    };
    let mut stored = pod.clone();
    json_patch::patch(&mut stored, &patch(pod, &plan)).expect("our patch applies");
    let Decision::Inject(again) = decide(&input(&stored)).decision else {
        panic!("refused after injection: {stored}")
    };
    assert!(
        patch(&stored, &again).0.is_empty(),
        "a second pass adds something: {stored}"
    );
});
