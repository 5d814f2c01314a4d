//! Tells the tests whether a reference PDS is installed, so that they are reported as ignored when
//! there is none, never as passed.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(has_reference_pds)");
    println!("cargo:rerun-if-env-changed=ATCOMMS_REFERENCE_PDS");
    if std::env::var_os("ATCOMMS_REFERENCE_PDS").is_some_and(|folder| !folder.is_empty()) {
        println!("cargo:rustc-cfg=has_reference_pds");
    }
}
