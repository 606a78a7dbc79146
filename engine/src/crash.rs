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
#[cfg(not(any(feature = "crash-points", test)))]
#[inline]
pub fn point(_what: &str) {}

/// Calls what the thread's test has set.
#[cfg(all(test, not(feature = "crash-points")))]
pub fn point(what: &str) {
    HOOK.with_borrow(|hook| hook.iter().for_each(|hook| hook(what)));
}

#[cfg(test)]
type Hook = Box<dyn Fn(&str)>;

#[cfg(test)]
thread_local! {
    static HOOK: std::cell::RefCell<Option<Hook>> = const { std::cell::RefCell::new(None) };
}

/// Lets this thread call `hook` at every point from now on.
#[cfg(test)]
pub fn set_hook(hook: Hook) {
    HOOK.set(Some(hook));
}
