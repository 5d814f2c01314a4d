//! Tests that need what is not in the repository are reported as ignored where it is not there: a `cfg` says whether it is.

fn main() {
    for (variable, cfg) in [
        ("ATCOMMS_INTEROP", "has_interop"),
        ("ATCOMMS_REFERENCE_PDS", "has_reference_pds"),
    ] {
        println!("cargo:rerun-if-env-changed={variable}");
        println!("cargo:rustc-check-cfg=cfg({cfg})");
        if std::env::var_os(variable).is_some_and(|value| !value.is_empty()) {
            println!("cargo:rustc-cfg={cfg}");
        }
    }
}
