//! What the process takes: anonymous memory, looked at every few milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Watches this process from a thread of its own, as long as it lives.
pub struct Memory(Arc<Peaks>);

/// KiB at most since the last line was told.
#[derive(Default)]
struct Peaks {
    anonymous: AtomicU64,
    all: AtomicU64,
    /// The highest anonymous memory of all lines.
    highest: AtomicU64,
}

impl Memory {
    pub fn watch() -> Self {
        let peaks = Arc::<Peaks>::default();
        let seen = Arc::clone(&peaks);
        std::thread::spawn(move || {
            loop {
                seen.look();
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self(peaks)
    }

    pub fn measure<T>(&self, work: impl FnOnce() -> T) -> (T, Duration) {
        let start = Instant::now();
        let value = work();
        (value, start.elapsed())
    }

    /// The highest anonymous memory so far, MiB.
    pub fn highest(&self) -> f64 {
        self.0.highest.load(Ordering::Relaxed) as f64 / 1024.0
    }

    /// Prints a line, and begins to watch for the next one.
    pub fn tell(&self, what: &str, took: Duration, rest: &str) {
        self.0.look();
        let mib = |peak: &AtomicU64| peak.swap(0, Ordering::Relaxed) as f64 / 1024.0;
        let (anonymous, all) = (mib(&self.0.anonymous), mib(&self.0.all));
        let secs = took.as_secs_f64();
        println!("{what:36} {secs:9.3} s  {anonymous:7.1} MiB anonymous of {all:7.1}  {rest}");
    }
}

impl Peaks {
    fn look(&self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (name, peak) in [("RssAnon:", &self.anonymous), ("VmRSS:", &self.all)] {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            peak.fetch_max(kib.unwrap_or(0), Ordering::Relaxed);
        }
        self.highest.fetch_max(self.anonymous.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
