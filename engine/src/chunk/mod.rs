//! Where to cut: FastCDC with a secret gear table, and which profile a file takes.

use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::Profile;

/// Content bytes that [`is_media`] looks at.
pub const PROBE_LEN: usize = 64 << 10;
/// Bytes of the shortest file that can be media.
pub const MEDIA_LEN_MIN: u64 = 1 << 20;

/// The masks (strict, relaxed) of each average length the format knows.
const MASKS: [(u64, u64, u64); 6] = [
    (16 << 10, 0x0000_d903_0353_7000, 0x0000_d901_0353_0000),
    (32 << 10, 0x0000_d907_0353_7000, 0x0000_d903_0353_0000),
    (64 << 10, 0x0000_d907_0753_7000, 0x0000_d903_1353_0000),
    (128 << 10, 0x0000_d917_0753_7000, 0x0000_d90f_0353_0000),
    (256 << 10, 0x0000_d917_4753_7000, 0x0000_d903_0353_7000),
    (1 << 20, 0x0000_d937_6753_7000, 0x0000_d907_0753_7000),
];

/// The average lengths the format knows, bytes, ascending.
pub fn averages() -> impl Iterator<Item = u64> {
    MASKS.iter().map(|(avg, ..)| *avg)
}

/// The profiles of a new repository, as the format's page 7 lists them.
#[must_use]
pub fn standard_profiles() -> Vec<Profile> {
    let profile = |name: &str, min: u32, avg: u32, max: u32, delta: bool| Profile {
        name: name.to_owned(),
        min: min << 10,
        avg: avg << 10,
        max: max << 10,
        delta,
    };
    vec![
        profile("tree", 16, 64, 256, true),
        profile("media", 256, 1024, 4096, false),
        profile("dump", 16, 64, 256, true),
        profile("large", 64, 256, 1024, true),
        profile("sqlite", 64, 64, 64, true),
    ]
}

/// Bytes of a chunk of pages: as many as come at once.
const PAGE_CHUNK_LEN_MAX: usize = 1 << 20;
/// Bytes of a group of pages: the longest page.
const PAGE_GROUP_LEN: usize = 64 << 10;

/// Cuts content into chunks. The cuts depend on the bytes and the gear table alone.
#[derive(Clone)]
pub struct Cutter {
    gear: Box<[u64; 256]>,
    /// The table shifted left by one bit: the scan takes two bytes at a time.
    gear_ls: Box<[u64; 256]>,
    min: usize,
    avg: usize,
    max: usize,
    mask_s: u64,
    mask_l: u64,
    is_delta: bool,
}

impl std::fmt::Debug for Cutter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The table is secret.
        write!(out, "Cutter({}, {}, {})", self.min, self.avg, self.max)
    }
}

impl Cutter {
    /// A cutter for `profile` with the repository's gear table.
    ///
    /// # Errors
    /// `Unsupported` if the lengths are odd, out of order or above
    /// [`limits::CHUNK_LEN_MAX`], or if the average is not one of the format's.
    pub fn new(gear: &[u64; 256], profile: &Profile) -> Result<Self> {
        let Profile { name, min, avg, max, .. } = profile;
        let unsupported = |why: &str| {
            let lengths = format!("chunker profile {name} ({min}, {avg}, {max})");
            Error::new(Kind::Unsupported, format!("{lengths}: {why}"))
        };
        if *min == 0 || min > avg || avg > max || *max > limits::CHUNK_LEN_MAX {
            return Err(unsupported("lengths out of order or out of bounds"));
        }
        if [min, avg, max].iter().any(|len| !len.is_multiple_of(2)) {
            return Err(unsupported("odd length"));
        }
        let masks = MASKS.iter().find(|(known, ..)| *known == u64::from(*avg));
        let &(_, mask_s, mask_l) = masks.ok_or_else(|| unsupported("unknown average length"))?;
        let len = |len: u32| usize::try_from(len).map_err(|_| unsupported("too long"));
        Ok(Self {
            gear: Box::new(*gear),
            gear_ls: Box::new(gear.map(|value| value << 1)),
            min: len(*min)?,
            avg: len(*avg)?,
            max: len(*max)?,
            mask_s,
            mask_l,
            is_delta: profile.delta,
        })
    }

    /// True if chunks may be stored as differences from older ones.
    #[must_use]
    pub fn is_delta(&self) -> bool {
        self.is_delta
    }

    /// Bytes of every chunk but the last, if it cuts at fixed places between groups of pages.
    #[must_use]
    pub fn page_len(&self) -> Option<u32> {
        let is_fixed = self.min == self.max
            && self.max.is_multiple_of(PAGE_GROUP_LEN)
            && self.max <= PAGE_CHUNK_LEN_MAX;
        u32::try_from(self.max).ok().filter(|_| is_fixed)
    }

    /// Bytes of the longest chunk.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// The length of the next chunk of the remaining `bytes`; `end` says that no more follow.
    ///
    /// None when more bytes are needed (fewer than [`Self::max`] and not the end), and for no bytes.
    #[must_use]
    pub fn cut(&self, bytes: &[u8], end: bool) -> Option<usize> {
        if bytes.is_empty() || (bytes.len() < self.max && !end) {
            return None;
        }
        let (_, len) = fastcdc::v2020::cut_gear(
            bytes,
            self.min,
            self.avg,
            self.max,
            self.mask_s,
            self.mask_l,
            self.mask_s << 1,
            self.mask_l << 1,
            &self.gear[..],
            &self.gear_ls[..],
        );
        Some(len)
    }
}

/// True if a file of `size` bytes is media: long, and its `first` content bytes look incompressible.
///
/// `first` holds at least [`PROBE_LEN`] bytes unless the content is shorter (then it is not media).
#[must_use]
pub fn is_media(first: &[u8], size: u64) -> bool {
    let Some(probe) = first.get(..PROBE_LEN).filter(|_| size >= MEDIA_LEN_MIN) else {
        return false;
    };
    // Four tables: one would make each count wait for the one before it when bytes repeat.
    let mut counts = [[0_u32; 256]; 4];
    for four in probe.chunks_exact(4) {
        for (table, byte) in counts.iter_mut().zip(four) {
            table[usize::from(*byte)] += 1;
        }
    }
    let squares = (0..256).map(|byte| {
        let count: u64 = counts.iter().map(|table| u64::from(table[byte])).sum();
        count * count
    });
    let len = PROBE_LEN as u64;
    1024 * squares.sum::<u64>() <= 5 * len * len
}

#[cfg(test)]
mod tests;
