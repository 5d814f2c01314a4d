//! The program that libFuzzer drives, one for all targets: `ATCOMMS_FUZZ` says which, and where `ATCOMMS_FUZZ_SEEDS`
//! names a folder, it writes the seeds there instead. See `fuzz/run`.

#![no_main]

use std::path::Path;
use std::process::exit;
use std::sync::OnceLock;

use atcomms_fuzz::{TARGETS, Target, target, write_seeds};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(
    init: prepare(),
    |data: &[u8]| {
        if let Some(target) = TARGET.get() {
            target.check(data);
        }
    }
);

fn prepare() {
    if let Some(folder) = std::env::var_os("ATCOMMS_FUZZ_SEEDS") {
        if let Err(error) = write_seeds(Path::new(&folder)) {
            eprintln!("the seeds cannot be written: {error}");
            exit(2);
        }
        exit(0);
    }
    let name = std::env::var("ATCOMMS_FUZZ").unwrap_or_default();
    let Some(chosen) = target(&name) else {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("ATCOMMS_FUZZ is `{name}`; it must be one of {names:?}");
        exit(2);
    };
    TARGET.get_or_init(|| chosen);
}
