//! The one place where this crate looks at the clock for what stands in records and revs.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, the unit of a TID; a clock before 1970 counts as 1970.
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970, the unit of the store.
pub(crate) fn millis() -> i64 {
    i64::try_from(micros() / 1000).unwrap_or(i64::MAX)
}
