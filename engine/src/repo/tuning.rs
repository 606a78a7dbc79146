//! What the maker of a repository may choose: how its writers compress, and how long chunks are.

use std::ops::RangeInclusive;

use super::Repository;
use crate::chunk;
use crate::error::{Error, Kind, Result};
use crate::model::ConfigBody;

/// The profile of files.
pub(super) const TREE: &str = "tree";
/// zstd levels; 0 stores data as it is.
const ZSTD_LEVEL: RangeInclusive<i32> = -7..=22;
/// Targets of frames that writers follow, bytes: below, compression has nothing to look back on;
/// above, a restore of one small file opens too much.
pub(super) const FRAME_LEN: RangeInclusive<u64> = (64 << 10)..=(8 << 20);
/// Targets of data packs that writers follow, bytes: a footer and a request for each, against what
/// a prune must rewrite.
pub(super) const PACK_LEN: RangeInclusive<u64> = (1 << 20)..=(64 << 20);

/// Settings of a repository that change its size and speed, and nothing that a reader must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// zstd level, −7 to 22; 0 stores data as it is, and metadata at the default level.
    pub zstd_level: i32,
    /// Plaintext target of a frame, 64 KiB to 8 MiB.
    pub frame_len: u64,
    /// Target of a data pack, 1 MiB to 64 MiB.
    pub pack_len: u64,
    /// Average chunk of files, bytes: one of [`chunk::averages`]. The shortest is a quarter of it,
    /// the longest four times as long.
    pub tree_chunk_avg: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { zstd_level: 3, frame_len: 4 << 20, pack_len: 32 << 20, tree_chunk_avg: 64 << 10 }
    }
}

impl Tuning {
    /// Refuses values that no writer follows.
    ///
    /// # Errors
    /// `Input`, naming the first of them and what it may be.
    pub fn check(&self) -> Result<()> {
        if !ZSTD_LEVEL.contains(&self.zstd_level) {
            return Err(refused("zstd_level", self.zstd_level, "a whole number from -7 to 22"));
        }
        within("frame_len", self.frame_len, &FRAME_LEN)?;
        within("pack_len", self.pack_len, &PACK_LEN)?;
        if chunk::averages().any(|avg| avg == self.tree_chunk_avg) {
            return Ok(());
        }
        let known: Vec<String> = chunk::averages().map(|avg| avg.to_string()).collect();
        let known = format!("one of {}", known.join(", "));
        Err(refused("tree_chunk_avg", self.tree_chunk_avg, &known))
    }

    /// Writes the choice into the config of a new repository.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) fn apply(&self, config: &mut ConfigBody) -> Result<()> {
        self.check()?;
        config.zstd_level = self.zstd_level;
        config.frame_len = self.frame_len;
        config.pack_len = self.pack_len;
        let avg = u32::try_from(self.tree_chunk_avg)
            .map_err(|_| refused("tree_chunk_avg", self.tree_chunk_avg, "shorter"))?;
        for profile in config.profiles.iter_mut().filter(|profile| profile.name == TREE) {
            // No average that the check lets pass comes near the end of the numbers.
            (profile.min, profile.avg, profile.max) = (avg / 4, avg, avg.saturating_mul(4));
        }
        Ok(())
    }
}

impl Repository {
    /// The settings in the config, as they stand there.
    #[must_use]
    pub fn tuning(&self) -> Tuning {
        let config = self.config();
        let tree = self.profile(TREE).map(|profile| profile.avg.into());
        Tuning {
            zstd_level: config.zstd_level,
            frame_len: config.frame_len,
            pack_len: config.pack_len,
            tree_chunk_avg: tree.unwrap_or(Tuning::default().tree_chunk_avg),
        }
    }
}

fn within(name: &str, value: u64, range: &RangeInclusive<u64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(refused(name, value, &format!("from {} to {} bytes", range.start(), range.end())))
}

fn refused(name: &str, value: impl std::fmt::Display, wanted: &str) -> Error {
    Error::new(Kind::Input, format!("{name} is {value}: it must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Cutter;
    use crate::model::Entropy;
    use crate::repo::keys::default_config;

    #[test]
    fn the_default_changes_nothing_in_a_default_config() {
        let config = default_config(&Entropy::fixed(b"tuning"), 0);
        let mut tuned = config.clone();
        Tuning::default().apply(&mut tuned).unwrap();
        assert_eq!(tuned, config);
    }

    #[test]
    fn every_average_the_format_knows_makes_a_sound_profile() {
        for avg in chunk::averages() {
            let mut config = default_config(&Entropy::fixed(b"tuning"), 0);
            let others = config.profiles.len() - 1;
            let tuning = Tuning { tree_chunk_avg: avg, ..Tuning::default() };
            tuning.apply(&mut config).unwrap();
            let before = default_config(&Entropy::fixed(b"tuning"), 0).profiles;
            let kept = config.profiles.iter().filter(|it| it.name != TREE && before.contains(it));
            assert_eq!(kept.count(), others);
            let tree = config.profiles.iter().find(|profile| profile.name == TREE).unwrap();
            assert_eq!(u64::from(tree.avg), avg);
            Cutter::new(&[1; 256], tree).unwrap();
        }
    }

    #[test]
    fn what_no_writer_follows_is_refused_by_name() {
        let sound = Tuning::default();
        for (tuning, told) in [
            (Tuning { zstd_level: 23, ..sound }, "zstd_level is 23: it must be"),
            (Tuning { zstd_level: -8, ..sound }, "zstd_level is -8"),
            (Tuning { frame_len: 65_535, ..sound }, "from 65536 to 8388608 bytes"),
            (Tuning { frame_len: (8 << 20) + 1, ..sound }, "frame_len is 8388609"),
            (Tuning { pack_len: 0, ..sound }, "pack_len is 0: it must be from 1048576"),
            (Tuning { pack_len: u64::MAX, ..sound }, "pack_len"),
            (Tuning { tree_chunk_avg: 65_537, ..sound }, "one of 16384, 32768, 65536"),
            (Tuning { tree_chunk_avg: u64::MAX, ..sound }, "tree_chunk_avg"),
        ] {
            let error = tuning.check().unwrap_err();
            assert_eq!(error.kind(), Kind::Input);
            assert!(error.to_string().contains(told), "{error}");
        }
        for tuning in [
            Tuning { zstd_level: 0, frame_len: 64 << 10, pack_len: 1 << 20, ..sound },
            Tuning { zstd_level: -7, frame_len: 8 << 20, pack_len: 64 << 20, ..sound },
        ] {
            tuning.check().unwrap();
        }
    }
}
