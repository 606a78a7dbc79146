//! Time as a value.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time: the system's, or a fixed moment for vectors and tests.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Option<i64>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// Always `now_ns`, nanoseconds since 1970-01-01T00:00:00 UTC.
    #[must_use]
    pub fn fixed(now_ns: i64) -> Self {
        Self(Some(now_ns))
    }

    /// Nanoseconds since 1970-01-01T00:00:00 UTC; negative before, clamped to what `i64` holds.
    #[must_use]
    pub fn now_ns(self) -> i64 {
        self.0.unwrap_or_else(|| match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)
            }
        })
    }
}
