//! What the process does to itself before any secret is read: signals, core dumps, standard input.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coffer_engine::source::pipe;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Set when the user asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// True after the first signal.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Listens for SIGINT, SIGTERM and SIGHUP. The first sets the flag, the second ends the process
    /// with 130. A signal that was ignored from outside (`nohup`) stays ignored.
    ///
    /// # Errors
    /// When the operating system refuses the handler.
    pub fn listen() -> io::Result<Self> {
        let interrupt = Self::default();
        let ignored = ignored_signals();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if ignored >> (signal - 1) & 1 == 1 {
                continue;
            }
            // In this order: the second signal finds the flag that the first one set.
            let flag = &interrupt.0;
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(flag))?;
            signal_hook::flag::register(signal, Arc::clone(flag))?;
        }
        Ok(interrupt)
    }
}

/// Standard input that ends with an error once the user asked to stop, however long nothing comes.
#[derive(Debug)]
pub struct InterruptibleStdin(Interrupt);

impl InterruptibleStdin {
    /// Standard input of this process.
    #[must_use]
    pub fn new(interrupt: Interrupt) -> Self {
        Self(interrupt)
    }
}

impl Read for InterruptibleStdin {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        pipe::read(io::stdin(), bytes, &|| self.0.is_set())
    }
}

/// The mask of signals that are ignored, as the kernel tells it; empty if it does not.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Bytes from which on memory is given back to the system as soon as it is free.
#[cfg(target_env = "gnu")]
const GIVEN_BACK_LEN: libc::c_int = 1 << 20;

/// Gives freed memory back at once. glibc keeps it otherwise, a part for each thread, which is faster
/// and more than a bound allows.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no other thread runs yet; the call sets a number.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, GIVEN_BACK_LEN);
    }
}

/// Keeps keys out of core dumps and away from other processes of the user. Best effort: a kernel
/// that refuses is no reason to make no backup.
pub fn forbid_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// The name of this host.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_sets_the_flag() {
        let interrupt = Interrupt::listen().unwrap();
        assert!(!interrupt.is_set());
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert!(interrupt.is_set() || ignored_signals() & 1 == 1);
        assert!(!host_name().is_empty());
    }
}
