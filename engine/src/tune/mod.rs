//! Which settings suit the user's data on this machine: a sample of it, held in memory, goes through
//! all that a backup does with content (cut, name, look up, compress, seal, verify, pack), once for
//! each of a few settings. The disks it comes from and goes to are left out.

mod choice;
mod measure;
mod sample;

pub use choice::{INDEX_BYTES_PER_TIB_MAX, SIZE_MARGIN, TIME_MAX};

use crate::error::{Error, Kind, Result};
use crate::model::MemoryBound;
use crate::observe::Observer;
use crate::repo::Tuning;
use crate::source::tree::TreeOptions;

/// Content that any recommendation but the default needs, bytes: in less, a chunk more or less hides differences.
pub const CONTENT_LEN_MIN: u64 = 4 << 20;
/// Least of [`TuneOptions::sample_len`]: room for some ranges of long files.
pub const SAMPLE_LEN_MIN: u64 = 16 << 20;
/// Bytes of index that a chunk costs: a row of 44, and its part in the tables of frames and packs.
pub const INDEX_BYTES_PER_CHUNK: u64 = 48;
/// Default of [`TuneOptions::sample_len`].
pub const SAMPLE_LEN: u64 = 512 << 20;

/// What to sample, and how much.
#[derive(Debug, Clone)]
pub struct TuneOptions {
    pub tree: TreeOptions,
    /// Bytes to read at most, and to hold in memory; at least [`SAMPLE_LEN_MIN`].
    pub sample_len: u64,
    /// Chooses the sample: the same seed chooses the same files and ranges of a tree.
    pub seed: u64,
    /// The bound on memory besides the sample.
    pub memory: MemoryBound,
}

/// What was sampled of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sampled {
    /// Regular files, and their lengths in bytes; a file with several names once.
    pub files_total: u64,
    pub bytes_total: u64,
    /// Files that gave something, and the lengths of the ranges chosen.
    pub files: u64,
    pub bytes: u64,
    /// Of these the bytes that are content: holes are left out.
    pub content_bytes: u64,
    /// What could not be read.
    pub errors: u64,
}

impl Sampled {
    /// What is `part` of the sample, of everything; as if all of it were like the sample.
    #[must_use]
    pub fn of_all(&self, part: u64) -> u64 {
        let whole = u128::from(part) * u128::from(self.bytes_total);
        u64::try_from(whole / u128::from(self.bytes.max(1))).unwrap_or(u64::MAX)
    }

    /// Seconds that everything would take, as if all of it were like the sample.
    #[must_use]
    pub fn seconds_of_all(&self, measured: &Measured) -> f64 {
        measured.seconds * self.bytes_total as f64 / self.bytes.max(1) as f64
    }
}

/// What one choice of settings makes of the sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub tuning: Tuning,
    /// Bytes of the sample.
    pub content_bytes: u64,
    /// Bytes of sealed frames: of packs without their footers and padding.
    pub stored_bytes: u64,
    /// Bytes of the sample that were there already.
    pub duplicate_bytes: u64,
    /// Different chunks.
    pub chunk_count: u64,
    /// Time of all cores together; the median of the rounds.
    pub seconds: f64,
    /// The same as a part of what the default took in the same rounds.
    pub relative_time: f64,
}

impl Measured {
    /// Bytes of index for these chunks, as the cache of every host holds it.
    #[must_use]
    pub fn index_bytes(&self) -> u64 {
        self.chunk_count.saturating_mul(INDEX_BYTES_PER_CHUNK)
    }

    /// Bytes of sealed frames and index.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.stored_bytes.saturating_add(self.index_bytes())
    }

    /// Bytes of index for a TiB of such data.
    #[must_use]
    pub fn index_bytes_per_tib(&self) -> u64 {
        self.per(self.index_bytes(), 1 << 40)
    }

    /// Chunks of a GiB of such data.
    #[must_use]
    pub fn chunks_per_gib(&self) -> u64 {
        self.per(self.chunk_count, 1 << 30)
    }

    /// Bytes of content a second.
    #[must_use]
    pub fn speed(&self) -> f64 {
        self.content_bytes as f64 / self.seconds.max(1e-9)
    }

    fn per(&self, count: u64, unit: u64) -> u64 {
        let scaled = u128::from(count) * u128::from(unit) / u128::from(self.content_bytes.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

/// Why a choice was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Less than [`CONTENT_LEN_MIN`] was there to measure: the default.
    TooLittle,
    /// No other fit choice is smaller by more than [`SIZE_MARGIN`]: the default.
    NoneIsSmaller,
    /// The fastest of the smallest that are fit.
    Smaller,
}

/// Which of the measured settings to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Place in [`Tuned::measured`].
    pub index: usize,
    pub reason: Reason,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    pub sampled: Sampled,
    /// The default first; if another is there that differs from it in several things, last.
    pub measured: Vec<Measured>,
    pub choice: Choice,
}

impl Tuned {
    /// The result for the settings to take.
    #[must_use]
    pub fn chosen(&self) -> &Measured {
        &self.measured[self.choice.index]
    }
}

/// Samples, measures, chooses.
///
/// # Errors
/// `Input` for a sample that is too small or an unsound pattern, `NotFound` when no file has content,
/// `Interrupted`.
pub fn tune(options: &TuneOptions, observer: &dyn Observer) -> Result<Tuned> {
    if options.sample_len < SAMPLE_LEN_MIN {
        let what = format!("a sample of {} bytes: it takes at least", options.sample_len);
        return Err(Error::new(Kind::Input, format!("{what} {SAMPLE_LEN_MIN}")));
    }
    let sample = sample::take(options, observer)?;
    let with = (options.seed, options.memory);
    let mut measured = measure::all(&sample, with, &choice::candidates(), observer)?;
    if let Some(all) = choice::combination(&measured) {
        let both = [Tuning::default(), all];
        measured.extend(measure::all(&sample, with, &both, observer)?.pop());
    }
    let sampled = sample.sampled;
    let choice = if sampled.content_bytes < CONTENT_LEN_MIN {
        Choice { index: 0, reason: Reason::TooLittle }
    } else {
        choice::choose(&measured)
    };
    Ok(Tuned { sampled, measured, choice })
}

fn stop_if_asked(observer: &dyn Observer) -> Result<()> {
    if observer.is_interrupted() {
        return Err(Error::new(Kind::Interrupted, "interrupted"));
    }
    Ok(())
}
