//! What `tune` tells.

use coffer_engine::tune::{Measured, Reason, Sampled, Tuned};
use serde::Serialize;

use super::SettingsLine;

/// The last line of `tune`.
#[derive(Debug, Serialize)]
pub struct TuneLine<'a> {
    message_type: &'static str,
    sampled: SampledLine,
    candidates: Vec<CandidateLine>,
    /// Place in `candidates`.
    recommended: usize,
    settings: SettingsLine,
    reason: &'static str,
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct SampledLine {
    files: u64,
    bytes: u64,
    content_bytes: u64,
    files_total: u64,
    bytes_total: u64,
    error_count: u64,
}

#[derive(Debug, Serialize)]
struct CandidateLine {
    settings: SettingsLine,
    stored_bytes: u64,
    index_bytes: u64,
    relative_size: f64,
    seconds: f64,
    relative_time: f64,
    bytes_per_second: u64,
    duplicate_bytes: u64,
    chunks: u64,
    chunks_per_gib: u64,
    index_bytes_per_tib: u64,
    estimated_stored_bytes: u64,
    estimated_seconds: f64,
}

impl<'a> TuneLine<'a> {
    /// The line for `tuned`; `message` is the reason in words.
    #[must_use]
    pub fn new(tuned: &Tuned, message: &'a str) -> Self {
        let default = &tuned.measured[0];
        let candidates = tuned.measured.iter();
        Self {
            message_type: "summary",
            sampled: SampledLine::new(&tuned.sampled),
            candidates: candidates
                .map(|it| CandidateLine::new(it, default, &tuned.sampled))
                .collect(),
            recommended: tuned.choice.index,
            settings: SettingsLine::new(&tuned.chosen().tuning),
            reason: match tuned.choice.reason {
                Reason::TooLittle => "too-little",
                Reason::NoneIsSmaller => "none-is-smaller",
                Reason::Smaller => "smaller",
            },
            message,
        }
    }
}

impl SampledLine {
    fn new(sampled: &Sampled) -> Self {
        let Sampled { files_total, bytes_total, files, bytes, content_bytes, errors } = *sampled;
        Self { files, bytes, content_bytes, files_total, bytes_total, error_count: errors }
    }
}

impl CandidateLine {
    fn new(it: &Measured, default: &Measured, sampled: &Sampled) -> Self {
        Self {
            settings: SettingsLine::new(&it.tuning),
            stored_bytes: it.stored_bytes,
            index_bytes: it.index_bytes(),
            relative_size: it.size() as f64 / default.size().max(1) as f64,
            seconds: it.seconds,
            relative_time: it.relative_time,
            bytes_per_second: it.speed() as u64,
            duplicate_bytes: it.duplicate_bytes,
            chunks: it.chunk_count,
            chunks_per_gib: it.chunks_per_gib(),
            index_bytes_per_tib: it.index_bytes_per_tib(),
            estimated_stored_bytes: sampled.of_all(it.stored_bytes),
            estimated_seconds: sampled.seconds_of_all(it),
        }
    }
}
