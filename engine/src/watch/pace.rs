//! When the next snapshot may begin.

use std::time::{Duration, Instant};

/// Twice this is the shortest wait after a failure, whatever the interval.
const FAILED_WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A snapshot is followed by this many times its own time without one: a slow store or a huge database
/// makes snapshots rarer, and does not keep a core busy.
const REST_FACTOR: u32 = 3;

/// Holds snapshots apart.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    begun: Option<Instant>,
    /// From the last beginning to the next.
    wait: Duration,
}

impl Pace {
    /// A pace of one snapshot every `interval`, at most; the first may begin at once.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, begun: None, wait: Duration::ZERO }
    }

    /// True if it is time.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        self.begun.is_none_or(|begun| begun.elapsed() >= self.wait)
    }

    /// Says that a snapshot begins.
    pub fn begin(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// Says that it is sealed.
    pub fn succeed(&mut self) {
        let took = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        self.wait = self.interval.max(took.saturating_mul(1 + REST_FACTOR));
    }

    /// Says that it failed; how long to wait.
    pub fn fail(&mut self) -> Duration {
        let took = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        let wait = self.wait.max(self.interval).max(FAILED_WAIT_MIN);
        self.wait = wait.saturating_mul(2).min(WAIT_MAX.max(self.interval));
        self.wait = self.wait.max(took);
        self.wait.saturating_sub(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_make_it_slower_and_a_success_as_fast_as_before() {
        let interval = Duration::from_secs(5);
        let mut pace = Pace::new(interval);
        assert!(pace.may_begin());
        pace.begin();
        let waits: Vec<_> = (0..6).map(|_| pace.fail().as_secs_f64().round() as u64).collect();
        assert_eq!(waits, [10, 20, 40, 60, 60, 60]);
        assert!(!pace.may_begin());
        pace.begin();
        pace.succeed();
        assert_eq!(pace.wait, interval);
    }

    #[test]
    fn failures_make_it_slower_without_an_interval_too() {
        let mut pace = Pace::new(Duration::ZERO);
        pace.begin();
        let waits: Vec<_> = (0..3).map(|_| pace.fail().as_secs_f64().round() as u64).collect();
        assert_eq!(waits, [2, 4, 8]);
    }
}
