//! How much memory something takes: bounded by what came in, or it is a way to be attacked.

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What anything may take, in bytes: errors, and the first room of collections.
const FLOOR: usize = 16 * 1024;

/// Runs something that may take at its peak so many times the bytes that came in.
pub(crate) fn bounded<T>(input: &[u8], times: usize, run: impl FnOnce() -> T) -> T {
    bounded_beside(input, times, FLOOR, run)
}

/// The same for what takes some memory whatever comes in.
pub(crate) fn bounded_beside<T>(
    input: &[u8],
    times: usize,
    beside: usize,
    run: impl FnOnce() -> T,
) -> T {
    let (result, taken) = measured(run);
    let (len, most) = (input.len(), beside + times * input.len());
    assert!(
        taken <= most,
        "{taken} bytes were taken for {len} that came in; {beside} and {times} times as many are right"
    );
    result
}

/// Runs something that must not allocate.
pub(crate) fn none<T>(run: impl FnOnce() -> T) -> T {
    let (result, taken) = measured(run);
    assert_eq!(taken, 0, "bytes were allocated");
    result
}

fn measured<T>(run: impl FnOnce() -> T) -> (T, usize) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let result = run();
    (result, MEMORY.peak_usage().saturating_sub(before))
}
