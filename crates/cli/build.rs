//! Tells the tests which outside data they can use: what is not there is reported as ignored.

fn main() {
    for (variable, cfg) in [
        ("ATCOMMS_CORPUS", "has_corpus"),
        ("ATCOMMS_REFERENCE_PDS", "has_reference_pds"),
    ] {
        println!("cargo:rerun-if-env-changed={variable}");
        println!("cargo:rustc-check-cfg=cfg({cfg})");
        if std::env::var_os(variable).is_some() {
            println!("cargo:rustc-cfg={cfg}");
        }
    }
}
