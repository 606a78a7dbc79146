//! One measurement: the sample through the readers' work and the pack writer of a new repository whose
//! packs go nowhere.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};

use super::sample::{Part, Profile, Sample};
use super::{Measured, stop_if_asked};
use crate::cache::ScratchDir;
use crate::chunk::Cutter;
use crate::crypto::{Credential, KdfStrength, Keyring};
use crate::error::{Error, Kind, Result};
use crate::model::{ChunkId, Class, Clock, Entropy, MemoryBound, Secret32, SegmentId};
use crate::observe::{Event, Observer, Progress, Silent};
use crate::repo::{
    ChunkWriter, InitOptions, Known, OpenOptions, Relied, Repository, Tuning, Usable, Writing, cut,
    reader_count, write,
};
use crate::store::DiscardStore;

/// Rounds of all choices, one after the other, so that a slower minute meets them all alike.
const ROUND_COUNT: usize = 3;
/// Parts that wait for the writer, for each reader.
const PART_QUEUE_COUNT: usize = 2;

/// Measures every choice; the first is what times are compared with.
pub(super) fn all(
    sample: &Sample,
    with: (u64, MemoryBound),
    tunings: &[Tuning],
    observer: &dyn Observer,
) -> Result<Vec<Measured>> {
    let scratch = ScratchDir::new()?;
    let content_bytes = sample.sampled.content_bytes;
    let runs = (ROUND_COUNT * tunings.len()) as u64;
    let progress = Progress {
        files_done: sample.sampled.files,
        files_total: sample.sampled.files,
        bytes_total: content_bytes.saturating_mul(runs),
        errors: sample.sampled.errors,
        ..Progress::default()
    };
    let mut meter = Meter { observer, progress };
    let mut rounds: Vec<Vec<Once>> = tunings.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUND_COUNT {
        for (tuning, round) in tunings.iter().zip(&mut rounds) {
            round.push(once(sample, with, *tuning, scratch.path(), &mut meter)?);
        }
    }
    let seconds: Vec<f64> = rounds.iter().map(|round| median(round)).collect();
    let measured = tunings.iter().zip(&rounds).zip(&seconds).map(|((tuning, round), time)| {
        // Keys and cuts are the same in every round, and so is what is stored.
        let Once { stored_bytes, added_bytes, chunk_count, .. } = round[0];
        Measured {
            tuning: *tuning,
            content_bytes,
            stored_bytes,
            duplicate_bytes: content_bytes.saturating_sub(added_bytes),
            chunk_count,
            seconds: *time,
            relative_time: time / seconds[0].max(1e-9),
        }
    });
    Ok(measured.collect())
}

/// What one run gave.
struct Once {
    stored_bytes: u64,
    added_bytes: u64,
    chunk_count: u64,
    seconds: f64,
}

fn median(rounds: &[Once]) -> f64 {
    let mut seconds: Vec<f64> = rounds.iter().map(|once| once.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn once(
    sample: &Sample,
    with: (u64, MemoryBound),
    tuning: Tuning,
    state_dir: &Path,
    meter: &mut Meter<'_>,
) -> Result<Once> {
    let repo = rehearsal(with, tuning, state_dir)?;
    let view = repo.view()?;
    let index = Arc::new(repo.load_index(&Silent)?);
    let (usable, _) = Usable::new(&repo, &index, &view, &Silent)?;
    let relied = Relied::new(&index);
    let known = Known { index: &index, usable: &usable, relied: &relied };
    let cutters = Cutters::new(&repo)?;
    let stored = AtomicU64::new(0);
    let begun = Instant::now();
    let work = |writer: &mut ChunkWriter<'_>| put_all(sample, &cutters, writer, meter);
    let (chunk_count, written) = write(&repo, known, &stored, Writing::of(&repo), work)?;
    let seconds = begun.elapsed().as_secs_f64();
    let stored_bytes = sealed_bytes(&repo)?;
    Ok(Once { stored_bytes, added_bytes: written.data_added, chunk_count, seconds })
}

/// Bytes of all frames as they are sealed, by the index: how a pack is padded tells nothing of settings.
fn sealed_bytes(repo: &Repository) -> Result<u64> {
    let mut segments: Vec<SegmentId> = Vec::new();
    repo.store().list("index/", &mut |name, _| {
        segments.extend(name.strip_prefix("index/").and_then(|id| id.parse::<SegmentId>().ok()));
        Ok(())
    })?;
    let mut bytes: u64 = 0;
    for id in segments {
        let packs = repo.load_segment(id)?;
        let frames = packs.iter().flat_map(|pack| &pack.footer.frames);
        bytes = frames.fold(bytes, |sum, frame| sum.saturating_add(frame.sealed_len.into()));
    }
    Ok(bytes)
}

/// A new repository with keys from `seed`: with the same ones, only the settings make a difference.
fn rehearsal(
    (seed, memory): (u64, MemoryBound),
    tuning: Tuning,
    state_dir: &Path,
) -> Result<Repository> {
    let entropy = Entropy::fixed(&seed.to_le_bytes());
    let key = Secret32::random(&entropy);
    let options = InitOptions {
        strength: KdfStrength::Default,
        label: String::new(),
        host: String::new(),
        tuning,
        open: OpenOptions {
            credentials: vec![Credential::KeyFile(key)],
            cache_dir: None,
            state_dir: state_dir.to_owned(),
            entropy,
            clock: Clock::system(),
            memory,
        },
    };
    Repository::init(Arc::new(DiscardStore::new()), options, &Silent)
}

/// Cuts and names on several threads and gives the chunks to the writer in order; how many were new.
fn put_all(
    sample: &Sample,
    cutters: &Cutters<'_>,
    writer: &mut ChunkWriter<'_>,
    meter: &mut Meter<'_>,
) -> Result<u64> {
    let readers = reader_count();
    thread::scope(|scope| {
        let start = |first: usize| {
            let (chunks, queue) = bounded(PART_QUEUE_COUNT);
            scope.spawn(move || {
                let mut own = sample.parts.iter().skip(first).step_by(readers);
                // A closed queue means that the run has ended already.
                let _ = own.try_for_each(|part| chunks.send(cutters.cut(part)));
            });
            queue
        };
        let queues: Vec<Receiver<Result<Chunks>>> = (0..readers).map(start).collect();
        let mut count = 0;
        for (part, queue) in sample.parts.iter().zip(queues.iter().cycle()) {
            stop_if_asked(meter.observer)?;
            let stopped = |_| Error::new(Kind::Unavailable, "a thread that cuts has stopped");
            let mut rest = part.bytes.as_slice();
            for (id, len) in queue.recv().map_err(stopped)?? {
                let (chunk, after) = rest.split_at(len as usize);
                count += u64::from(writer.put_chunk(Class::Ordinary, id, chunk)?);
                rest = after;
            }
            meter.add(part.bytes.len() as u64);
        }
        Ok(count)
    })
}

type Chunks = Vec<(ChunkId, u32)>;

/// The cutters of a repository.
struct Cutters<'r> {
    keyring: &'r Keyring,
    tree: Cutter,
    media: Cutter,
    sqlite: Cutter,
}

impl<'r> Cutters<'r> {
    fn new(repo: &'r Repository) -> Result<Self> {
        let gear = repo.keyring().gear_table();
        let cutter = |name: &str| {
            let missing = || Error::new(Kind::Unsupported, format!("there is no profile `{name}`"));
            Cutter::new(&gear, &repo.profile(name).ok_or_else(missing)?)
        };
        Ok(Self {
            keyring: repo.keyring(),
            tree: cutter("tree")?,
            media: cutter("media")?,
            sqlite: cutter("sqlite")?,
        })
    }

    fn cut(&self, part: &Part) -> Result<Chunks> {
        let mut chunks = Vec::new();
        let mut rest = part.bytes.as_slice();
        for run in &part.runs {
            let (bytes, after) = rest.split_at(run.len);
            let cutter = match run.profile {
                Profile::Tree => &self.tree,
                Profile::Media => &self.media,
                Profile::Sqlite => &self.sqlite,
            };
            cut((self.keyring, Class::Ordinary), cutter, bytes, true, &mut chunks)?;
            rest = after;
        }
        Ok(chunks)
    }
}

/// How far all runs have come.
struct Meter<'o> {
    observer: &'o dyn Observer,
    progress: Progress,
}

impl Meter<'_> {
    fn add(&mut self, bytes: u64) {
        self.progress.bytes_done += bytes;
        self.observer.event(Event::Progress(self.progress));
    }
}
