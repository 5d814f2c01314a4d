//! Tells the tests which outside data they can use: what is not there is reported as ignored.

fn main() {
    for (variable, cfg) in [
        ("ATCOMMS_INTEROP", "has_interop"),
        ("ATCOMMS_CORPUS", "has_corpus"),
    ] {
        println!("cargo:rerun-if-env-changed={variable}");
        println!("cargo:rustc-check-cfg=cfg({cfg})");
        if std::env::var_os(variable).is_some() {
            println!("cargo:rustc-cfg={cfg}");
        }
    }
}
