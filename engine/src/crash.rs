//! Points at which a test may kill the process, to prove that no stop in the middle loses anything.

/// Kills the process by SIGKILL if the environment's `COFFER_TEST_CRASH_AT` is the number of this
/// call in the process, counted from 1. Stands before and after every effect on the outside.
/// Does nothing unless the feature `crash-points` is on.
#[cfg(feature = "crash-points")]
pub fn point(what: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static AT: OnceLock<Option<u64>> = OnceLock::new();
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let at = AT.get_or_init(|| std::env::var("COFFER_TEST_CRASH_AT").ok()?.parse().ok());
    let call = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    if *at == Some(call) {
        eprintln!("crash point {call}: {what}");
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}

/// Kills the process in tests with the feature `crash-points`; here it does nothing.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_what: &str) {}
