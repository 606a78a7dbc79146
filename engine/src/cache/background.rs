//! Work on the cache that a command does not wait for.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A command that is over by then is not to be slowed down.
const DELAY: Duration = Duration::from_millis(500);

/// A thread of the lowest priority. Dropping it asks the work to stop and waits for that.
#[derive(Debug)]
pub struct Background {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

/// Whether work is asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Background {
    /// Begins `work` a little later; none if the system gives no thread.
    pub fn start(work: impl FnOnce(&Stop) + Send + 'static) -> Option<Self> {
        let stop = Stop::default();
        let its = stop.clone();
        let run = move || {
            let begin = Instant::now() + DELAY;
            while !its.is_asked() {
                let left = begin.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    // Of this thread alone. Without it the work is done all the same.
                    let _ = rustix::process::nice(19);
                    return work(&its);
                }
                thread::park_timeout(left);
            }
        };
        let thread = thread::Builder::new().name("background".to_owned()).spawn(run).ok()?;
        Some(Self { stop, thread: Some(thread) })
    }

    /// Waits until the work is done.
    pub fn finish(mut self) {
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic has printed itself, and costs the cache nothing.
            let _ = thread.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        self.join();
    }
}

impl Stop {
    /// True once the work is not wanted any more.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Writes to `out` until that is not wanted any more.
    pub fn guard<'w>(&'w self, out: &'w mut dyn Write) -> impl Write + 'w {
        Guarded { stop: self, out }
    }
}

struct Guarded<'w> {
    stop: &'w Stop,
    out: &'w mut dyn Write,
}

impl Write for Guarded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.is_asked() {
            return Err(io::Error::other("stopped"));
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_or_stopped_before_it_begins() {
        let done = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&done);
        let work = Background::start(move |_| its.store(true, Ordering::Relaxed)).unwrap();
        drop(work);
        assert!(!done.load(Ordering::Relaxed));
        let its = Arc::clone(&done);
        let work = Background::start(move |_| its.store(true, Ordering::Relaxed)).unwrap();
        work.finish();
        assert!(done.load(Ordering::Relaxed));
    }

    #[test]
    fn nothing_is_written_once_it_is_asked_to_stop() {
        let (stop, mut out) = (Stop::default(), Vec::new());
        stop.guard(&mut out).write_all(b"one").unwrap();
        stop.0.store(true, Ordering::Relaxed);
        assert!(stop.guard(&mut out).write_all(b"two").is_err());
        assert_eq!(out, b"one");
    }
}
