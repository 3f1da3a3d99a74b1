//! The emitted texts are the golden ones (`make bless` writes them anew), read as their languages, and say just what
//! the plan does. Terraform's is read by `make terraform`.

mod bicep;
mod plan;
mod shell;

use identity_injector::setup::emit::{Format, emit};

use plan::{desired, planned};

#[test]
fn are_the_golden_texts() {
    for (format, name) in [
        (Format::Az, "setup.sh"),
        (Format::Bicep, "setup.bicep"),
        (Format::Terraform, "setup.tf"),
    ] {
        let text = emit(&planned(false), &desired(), format);
        let golden = format!("tests/setup/emit/{name}");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        let found = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(text, found, "{golden}: `make bless` writes it anew");
    }
}
