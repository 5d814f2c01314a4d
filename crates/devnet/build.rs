//! Tells the tests which outside data they can use: what is not there is reported as ignored.

fn main() {
    println!("cargo:rerun-if-env-changed=ATCOMMS_CORPUS");
    println!("cargo:rustc-check-cfg=cfg(has_corpus)");
    if std::env::var_os("ATCOMMS_CORPUS").is_some() {
        println!("cargo:rustc-cfg=has_corpus");
    }
}
