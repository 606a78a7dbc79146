//! Chooses and reads the sample: whole files, and ranges of long ones, by a hash of seed, path and offset.
//!
//! The tree is walked twice: to find the lowest hash that does not fit any more, and to read what is
//! below it. So neither the order of a directory nor its number of files matters to the choice or to memory.

use std::collections::{BinaryHeap, HashSet};
use std::io;
use std::ops::Range;

use super::{Sampled, TuneOptions, stop_if_asked};
use crate::chunk::{MEDIA_LEN_MIN, PROBE_LEN, is_media};
use crate::error::{Error, Kind, Result, SourceError};
use crate::model::{EntryKind, Hole};
use crate::observe::{Event, Observer, Progress};
use crate::source::sqlite::{base_of, begins_as_database, is_database};
use crate::source::tree::{Found, OpenFile, Walk, WalkItem, read_range};

/// Bytes of a range of a long file at most: far more than a chunk, since each end cuts one.
const RANGE_LEN_MAX: u64 = 8 << 20;
const RANGE_LEN_MIN: u64 = 1 << 20;
/// A sample has room for at least this many ranges of the longest.
const RANGES_OF_A_SAMPLE: u64 = 64;
/// Ranges of one file that are looked at: of a longer one every second, third and so on.
const RANGE_COUNT_MAX: u64 = 1 << 16;
/// Files and ranges of a sample; their hashes take 16 bytes each.
const UNIT_COUNT_MAX: usize = 1 << 20;
/// Bytes of small files that are cut together, as a backup's readers take them.
const PART_LEN: usize = 4 << 20;

/// Content, in pieces for one thread each.
pub(super) struct Sample {
    pub parts: Vec<Part>,
    pub sampled: Sampled,
}

/// Some files, or a range of one, end to end.
#[derive(Default)]
pub(super) struct Part {
    pub bytes: Vec<u8>,
    pub runs: Vec<Run>,
}

/// Content that is cut for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub len: usize,
    pub profile: Profile,
}

/// By which profile a backup cuts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    Tree,
    Media,
    Sqlite,
}

/// Takes a sample of the tree.
///
/// # Errors
/// `Input` for an unsound pattern, `NotFound` when no file has content, `Interrupted`.
pub(super) fn take(options: &TuneOptions, observer: &dyn Observer) -> Result<Sample> {
    let mut choosing = Choosing::new(options);
    let errors = walk(options, observer, true, &mut |found| {
        choosing.look(&found);
        Ok(())
    })?;
    let Choosing { hash_end, sampled, .. } = choosing;
    let mut reading = Reading {
        options,
        observer,
        hash_end,
        sample: Sample { parts: Vec::new(), sampled: Sampled { errors, ..sampled } },
    };
    walk(options, observer, false, &mut |found| reading.file(found))?;
    let sample = reading.sample;
    if sample.sampled.content_bytes == 0 {
        let what = "there is nothing to measure: no file that can be read has content";
        return Err(Error::new(Kind::NotFound, what));
    }
    Ok(sample)
}

/// Hands every regular file to `each`, a file with several names once. What cannot be read is told if
/// `is_first`; returns how much that is.
fn walk(
    options: &TuneOptions,
    observer: &dyn Observer,
    is_first: bool,
    each: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<u64> {
    let walk = Walk::start(&options.tree)
        .map_err(|problem| Error::new(Kind::Input, problem.to_string()))?;
    let mut linked = HashSet::new();
    let mut errors = 0;
    for item in walk {
        stop_if_asked(observer)?;
        match item {
            WalkItem::Found(found) => {
                let group = found.entry.link_group;
                let is_file = matches!(found.entry.kind, EntryKind::File { .. });
                if is_file && !is_sidecar(&found) && (group == 0 || linked.insert(group)) {
                    each(found)?;
                }
            }
            WalkItem::Problem(problem) => {
                errors += 1;
                if is_first {
                    observer.event(Event::SourceProblem(&problem));
                }
            }
            WalkItem::Excluded { .. } => {}
        }
    }
    Ok(errors)
}

/// True for the WAL and the like of a database, which no backup stores.
fn is_sidecar(found: &Found) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let path = found.absolute_path();
    let base = base_of(&path).map(std::ffi::OsStr::from_bytes);
    base.is_some_and(|base| begins_as_database(base.as_ref()))
}

/// The parts of a file that are chosen or not as one.
fn units(size: u64, sample_len: u64) -> impl Iterator<Item = Range<u64>> {
    // Groups of database pages begin at multiples of 64 KiB.
    let room = (sample_len / RANGES_OF_A_SAMPLE) & !0xffff;
    let len = room.clamp(RANGE_LEN_MIN, RANGE_LEN_MAX);
    let count = size.div_ceil(len);
    let step = count.div_ceil(RANGE_COUNT_MAX).max(1);
    (0..count.div_ceil(step)).map(move |number| {
        let start = number * step * len;
        start..(start + len).min(size)
    })
}

fn hash(seed: u64, path: &[u8], start: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&start.to_le_bytes()).update(path);
    let mut hash = [0; 8];
    hasher.finalize_xof().fill(&mut hash);
    u64::from_le_bytes(hash)
}

/// The first walk: the units of the lowest hashes, as many as fit.
struct Choosing<'o> {
    options: &'o TuneOptions,
    /// Hash and length of what fits so far, the highest hash on top.
    lowest: BinaryHeap<(u64, u64)>,
    bytes: u64,
    /// The lowest hash that did not fit; none if all do.
    hash_end: Option<u64>,
    sampled: Sampled,
}

impl<'o> Choosing<'o> {
    fn new(options: &'o TuneOptions) -> Self {
        let (lowest, sampled) = (BinaryHeap::new(), Sampled::default());
        Self { options, lowest, bytes: 0, hash_end: None, sampled }
    }

    fn look(&mut self, found: &Found) {
        let path = found.absolute_path();
        self.sampled.files_total += 1;
        self.sampled.bytes_total = self.sampled.bytes_total.saturating_add(found.stat.size);
        for unit in units(found.stat.size, self.options.sample_len) {
            self.add(hash(self.options.seed, &path, unit.start), unit.end - unit.start);
        }
    }

    fn add(&mut self, hash: u64, len: u64) {
        if !is_below(hash, self.hash_end) {
            return;
        }
        self.lowest.push((hash, len));
        self.bytes += len;
        while self.bytes > self.options.sample_len || self.lowest.len() > UNIT_COUNT_MAX {
            let Some((hash, len)) = self.lowest.pop() else { break };
            self.bytes -= len;
            self.hash_end = Some(hash);
        }
    }
}

fn is_below(hash: u64, end: Option<u64>) -> bool {
    end.is_none_or(|end| hash < end)
}

/// The second walk.
struct Reading<'o> {
    options: &'o TuneOptions,
    observer: &'o dyn Observer,
    hash_end: Option<u64>,
    sample: Sample,
}

impl Reading<'_> {
    fn file(&mut self, found: Found) -> Result<()> {
        let path = found.absolute_path();
        let chosen: Vec<Range<u64>> = units(found.stat.size, self.options.sample_len)
            .filter(|unit| is_below(hash(self.options.seed, &path, unit.start), self.hash_end))
            .collect();
        if chosen.is_empty() {
            return Ok(());
        }
        match self.read(found, &chosen) {
            Ok(0) => {}
            Ok(_) => self.sample.sampled.files += 1,
            Err(problem) => {
                self.sample.sampled.errors += 1;
                self.observer.event(Event::SourceProblem(&problem));
            }
        }
        let Sampled { files, bytes, errors, .. } = self.sample.sampled;
        let progress =
            Progress { files_done: files, bytes_done: bytes, errors, ..Progress::default() };
        self.observer.event(Event::Progress(progress));
        stop_if_asked(self.observer)
    }

    /// Reads the units; how many gave content.
    fn read(
        &mut self,
        mut found: Found,
        units: &[Range<u64>],
    ) -> std::result::Result<usize, SourceError> {
        let file = found.open()?;
        let failed = |error| found.problem("cannot be read", error);
        let holes = file.holes().map_err(failed)?;
        let profile = profile(&file, &holes).map_err(failed)?;
        let mut count = 0;
        for unit in units {
            // Files may have grown since the first walk: memory is for what was asked.
            if self.sample.sampled.bytes >= self.options.sample_len
                || self.observer.is_interrupted()
            {
                break;
            }
            let bytes = read_range(&file, &holes, unit.clone()).map_err(failed)?;
            self.sample.sampled.bytes += unit.end - unit.start;
            self.sample.sampled.content_bytes += bytes.len() as u64;
            count += usize::from(!bytes.is_empty());
            self.sample.add(bytes, profile);
        }
        Ok(count)
    }
}

/// The rule of a backup's readers.
fn profile(file: &OpenFile, holes: &[Hole]) -> io::Result<Profile> {
    if is_database(&file.file) {
        return Ok(Profile::Sqlite);
    }
    let holes_len: u64 = holes.iter().map(|hole| hole.len).sum();
    let len = file.stat.size.saturating_sub(holes_len);
    if len < MEDIA_LEN_MIN {
        return Ok(Profile::Tree);
    }
    // Content begins behind a hole at the start.
    let start = holes.first().filter(|hole| hole.offset == 0).map_or(0, |hole| hole.len);
    let first = read_range(file, holes, start..start.saturating_add(PROBE_LEN as u64))?;
    Ok(if is_media(&first, len) { Profile::Media } else { Profile::Tree })
}

impl Sample {
    fn add(&mut self, mut bytes: Vec<u8>, profile: Profile) {
        if bytes.is_empty() {
            return;
        }
        let run = Run { len: bytes.len(), profile };
        match self.parts.last_mut() {
            Some(part) if part.bytes.len() + bytes.len() <= PART_LEN => {
                part.bytes.append(&mut bytes);
                part.runs.push(run);
            }
            _ => self.parts.push(Part { bytes, runs: vec![run] }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::model::MemoryBound;
    use crate::observe::Silent;
    use crate::repo::testing::noise;
    use crate::source::tree::TreeOptions;

    const MIB: usize = 1 << 20;

    fn options(root: &Path, sample_len: u64, seed: u64) -> TuneOptions {
        let roots = vec![root.to_owned()];
        let tree = TreeOptions { roots, ..TreeOptions::default() };
        TuneOptions { tree, sample_len, seed, memory: MemoryBound::default() }
    }

    fn taken(root: &Path, sample_len: u64, seed: u64) -> Sample {
        take(&options(root, sample_len, seed), &Silent).unwrap()
    }

    fn bytes(sample: &Sample) -> Vec<u8> {
        sample.parts.iter().flat_map(|part| part.bytes.iter().copied()).collect()
    }

    /// Forty files of 1 to 40 KiB and one of 6 MiB, made in the order given.
    fn tree(root: &Path, numbers: impl Iterator<Item = usize>) {
        for number in numbers {
            let len = if number == 0 { 6 * MIB } else { number << 10 };
            fs::write(root.join(format!("file-{number}")), noise(number as u64, len)).unwrap();
        }
    }

    #[test]
    fn a_sample_with_room_is_everything_cut_by_the_rules_of_a_backup() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("a-noise"), noise(1, 2 * MIB)).unwrap();
        fs::write(root.join("b-text"), "some text\n".repeat(200_000)).unwrap();
        fs::write(root.join("c.db"), [b"SQLite format 3\0".as_slice(), &[0; 4080]].concat())
            .unwrap();
        fs::write(root.join("c.db-wal"), noise(2, 5000)).unwrap();
        fs::write(root.join("d-empty"), "").unwrap();
        fs::hard_link(root.join("a-noise"), root.join("e-noise")).unwrap();
        let sample = taken(root, 512 << 20, 0);
        let len = (2 * MIB + 2_000_000 + 4096) as u64;
        let wanted = Sampled {
            files_total: 4,
            bytes_total: len,
            files: 3,
            bytes: len,
            content_bytes: len,
            errors: 0,
        };
        assert_eq!(sample.sampled, wanted);
        let profiles: Vec<Profile> =
            sample.parts.iter().flat_map(|part| &part.runs).map(|run| run.profile).collect();
        assert_eq!(profiles, [Profile::Media, Profile::Tree, Profile::Sqlite]);
        let all = ["a-noise", "b-text", "c.db"].map(|name| fs::read(root.join(name)).unwrap());
        assert_eq!(bytes(&sample), all.concat());
    }

    #[test]
    fn a_sample_is_bounded_and_spread_and_the_seed_chooses_it() {
        let folder = tempfile::tempdir().unwrap();
        tree(folder.path(), 0..41);
        let sample = taken(folder.path(), 3 * MIB as u64, 1);
        let Sampled { files_total, bytes_total, files, content_bytes, .. } = sample.sampled;
        assert_eq!((files_total, bytes_total), (41, (6 * MIB + (820 << 10)) as u64));
        assert!(content_bytes <= 3 * MIB as u64 && content_bytes > MIB as u64, "{content_bytes}");
        assert!((5..41).contains(&files), "{files}");
        assert_eq!(bytes(&sample), bytes(&taken(folder.path(), 3 * MIB as u64, 1)));
        assert_ne!(bytes(&sample), bytes(&taken(folder.path(), 3 * MIB as u64, 2)));
    }

    #[test]
    fn the_order_in_which_files_came_to_be_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        let made = |numbers: &mut dyn Iterator<Item = usize>| {
            fs::create_dir(&root).unwrap();
            tree(&root, numbers);
            let sample = taken(&root, 3 * MIB as u64, 0);
            fs::remove_dir_all(&root).unwrap();
            sample
        };
        let (one, other) = (made(&mut (0..41)), made(&mut (0..41).rev()));
        assert_eq!(one.sampled, other.sampled);
        assert_eq!(bytes(&one), bytes(&other));
    }

    #[test]
    fn the_lowest_hashes_are_chosen_in_any_order_of_coming() {
        let options = options(Path::new("/"), 100, 0);
        let units: Vec<(u64, u64)> = (1..50).map(|at| (at * 37 % 101, 1 + at % 13)).collect();
        let chosen = |units: &mut dyn Iterator<Item = (u64, u64)>| {
            let mut choosing = Choosing::new(&options);
            units.for_each(|(hash, len)| choosing.add(hash, len));
            choosing.hash_end
        };
        let end = chosen(&mut units.iter().copied());
        assert_eq!(end, chosen(&mut units.iter().rev().copied()));
        let mut sorted = units.clone();
        sorted.sort_unstable();
        assert_eq!(end, chosen(&mut sorted.into_iter()));
        let below = units.iter().filter(|(hash, _)| is_below(*hash, end));
        let bytes: u64 = below.map(|(_, len)| len).sum();
        assert!((87..=100).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_long_file_has_a_bounded_number_of_ranges_all_over_it() {
        for size in [0, 1, 8 << 20, (8 << 20) + 1, 1 << 40, 1 << 60] {
            let all: Vec<_> = units(size, 512 << 20).collect();
            assert!(all.len() as u64 <= RANGE_COUNT_MAX, "{size}");
            assert!(all.iter().all(|unit| unit.start < unit.end && unit.end <= size), "{size}");
            let covered: u64 = all.iter().map(|unit| unit.end - unit.start).sum();
            assert_eq!(covered, size.min(RANGE_COUNT_MAX * (8 << 20)), "{size}");
        }
        let last = units(1 << 60, 512 << 20).last().unwrap();
        assert!(last.end > (1 << 60) - (1 << 45), "{last:?}");
    }

    #[test]
    fn a_tree_without_content_and_one_that_is_not_there_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        for root in [folder.path().to_owned(), folder.path().join("none")] {
            let error = take(&options(&root, 16 << 20, 0), &Silent).map(drop).unwrap_err();
            assert_eq!(error.kind(), Kind::NotFound, "{error}");
        }
    }
}
