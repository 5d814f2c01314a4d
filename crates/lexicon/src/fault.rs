//! Deliberate faults: places at which a test build does one thing wrong, so that it is known which test would
//! notice. Without the feature `deliberate-faults` they are nothing. `tests/deliberate-faults` has the list.

/// Whether this fault is asked for by `ATCOMMS_FAULT`. A fault that was is noted in the file of `ATCOMMS_FAULT_FIRED`:
/// one that no test comes by proves nothing.
#[cfg(feature = "deliberate-faults")]
pub fn on(name: &str) -> bool {
    use std::sync::OnceLock;

    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    static FIRED: OnceLock<()> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("ATCOMMS_FAULT").ok());
    let on = chosen.as_deref() == Some(name);
    if on {
        FIRED.get_or_init(|| {
            let noted =
                std::env::var_os("ATCOMMS_FAULT_FIRED").map(|file| std::fs::write(file, name));
            if let Some(Err(error)) = noted {
                eprintln!("the fault {name} cannot be noted: {error}");
            }
        });
    }
    on
}

/// There are no faults but those that we do not know of.
#[cfg(not(feature = "deliberate-faults"))]
#[inline]
pub const fn on(_name: &str) -> bool {
    false
}
