//! CPU seconds of this process.

/// Ticks a second in `/proc`, on every Linux.
const TICKS: f64 = 100.0;

/// CPU seconds that this process has used, all threads together; nothing where there is no `/proc`.
pub(crate) fn seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in the middle may hold anything; the numbers come after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}
