//! The index at scale, as the cache of one host holds it:
//!
//! ```text
//! cargo bench -p coffer-benches --bench index -- --chunks 100000000 [--pack-chunks 1000] [--folder DIR]
//! ```
//!
//! Ids are made up, all else is the engine's: a first open that loads every segment, opens that find the
//! cache, look-ups, hours that bring new segments, packs of a run's own. Each line has the time and the
//! highest anonymous memory meanwhile; it fails above [`MEMORY_MIB_MAX`]. As a test (`cargo test -p coffer-benches --bench index`) it runs
//! at a small size and checks what it finds.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coffer_engine::cache::Cache;
use coffer_engine::index::Index;
use coffer_engine::model::{ChunkId, RepositoryId, SegmentId};
use made_up::MadeUp;
use memory::Memory;

mod made_up;
mod memory;

const HOUR_COUNT: u64 = 24;
/// Anonymous memory at most, MiB, at any number of chunks.
const MEMORY_MIB_MAX: f64 = 128.0;
const REPOSITORY: RepositoryId = RepositoryId([7; 16]);

/// What is measured.
struct Scale {
    chunk_count: u64,
    pack_chunk_count: u64,
    /// Look-ups of each kind.
    look_up_count: u64,
    /// New chunks of an ordinary hour and of a busy one.
    hours: [u64; 2],
    folder: PathBuf,
}

impl Scale {
    fn parse(arguments: &[String]) -> Self {
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            Some(arguments.get(at + 1).unwrap_or_else(|| panic!("{name} needs a value")).as_str())
        };
        let number = |name: &str| {
            value(name).map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: a number")))
        };
        // Cargo says so when it runs benchmarks, not tests.
        let is_benchmark = arguments.iter().any(|argument| argument == "--bench");
        let (chunk_count, look_up_count, hours) = if is_benchmark {
            (1_000_000, 1_000_000, [10_000, 1_000_000])
        } else {
            (30_000, 2_000, [100, 3_000])
        };
        Self {
            chunk_count: number("--chunks").unwrap_or(chunk_count),
            pack_chunk_count: number("--pack-chunks").unwrap_or(1000),
            look_up_count,
            hours,
            folder: value("--folder").map_or_else(std::env::temp_dir, PathBuf::from),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scale = Scale::parse(&arguments);
    let folder =
        tempfile::Builder::new().prefix("coffer-index.").tempdir_in(&scale.folder).unwrap();
    let mut bench = Bench {
        memory: Memory::watch(),
        folder: folder.path().to_owned(),
        made_up: MadeUp::new(scale.pack_chunk_count),
    };
    println!("{} chunks, {} a pack", scale.chunk_count, scale.pack_chunk_count);
    bench.made_up.grow(scale.chunk_count);
    bench.open("first open, every segment loaded");
    let index = bench.open("open");
    bench.look_up(&index, scale.look_up_count);
    drop(index);
    for new in scale.hours {
        bench.hours(new);
    }
    let mut index = bench.open("open");
    bench.look_up(&index, scale.look_up_count);
    for new in scale.hours {
        bench.add(&mut index, new);
    }
    let highest = bench.memory.highest();
    let is_bounded = highest > 0.0 && highest <= MEMORY_MIB_MAX;
    assert!(is_bounded, "{highest:.1} MiB of anonymous memory");
}

struct Bench {
    memory: Memory,
    folder: PathBuf,
    made_up: MadeUp,
}

impl Bench {
    fn cache(&self) -> Cache {
        Cache::open(&self.folder, REPOSITORY).unwrap()
    }

    /// Opens the index; the time that making up segments takes is not counted.
    fn open(&self, what: &str) -> Index {
        let (cache, segments) = (self.cache(), self.made_up.segments());
        let made_before = self.made_up.took();
        let (index, took) = self.memory.measure(|| {
            let load = |id: SegmentId| Ok(Some(self.made_up.segment(&id)));
            Index::open(Some(&cache), &segments, &load).unwrap()
        });
        let took = took.saturating_sub(self.made_up.took() - made_before);
        assert_eq!(index.entry_count(), self.made_up.chunk_count());
        assert_eq!(cache.take_notes(), [""; 0]);
        let (runs, bytes) = runs(&self.folder);
        let a_chunk = bytes as f64 / self.made_up.chunk_count() as f64;
        self.memory.tell(what, took, &format!("{runs} runs, {a_chunk:.1} B a chunk"));
        index
    }

    fn look_up(&self, index: &Index, count: u64) {
        let chunk_count = self.made_up.chunk_count();
        let mut random = 1;
        let mut draw = || {
            random = made_up::mix(random);
            random % chunk_count
        };
        let tell = |what: &str, wanted: u64, number: &mut dyn FnMut(u64) -> u64| {
            let (found, took) = self.memory.measure(|| {
                let ids = (0..count).map(|at| made_up::chunk_id(number(at)));
                ids.filter(|id: &ChunkId| !index.find(id).is_empty()).count() as u64
            });
            assert_eq!(found, wanted, "{what}");
            let rate = count as f64 / took.as_secs_f64();
            self.memory.tell(what, took, &format!("{rate:.0} a second"));
        };
        tell("hits, random", count, &mut |_| draw());
        tell("hits, in order of storing", count, &mut |at| at % chunk_count);
        tell("misses", 0, &mut |at| chunk_count + at);
    }

    /// Hours of one backup each that brings `new` chunks, as the next backup finds them.
    fn hours(&mut self, new: u64) {
        let (mut slowest, mut sum) = (Duration::ZERO, Duration::ZERO);
        let mut runs_most = 0;
        for _ in 0..HOUR_COUNT {
            self.made_up.grow(new);
            let (cache, segments) = (self.cache(), self.made_up.segments());
            let made_before = self.made_up.took();
            let load = |id: SegmentId| Ok(Some(self.made_up.segment(&id)));
            let (_, took) =
                self.memory.measure(|| Index::open(Some(&cache), &segments, &load).unwrap());
            let took = took.saturating_sub(self.made_up.took() - made_before);
            sum += took;
            slowest = slowest.max(took);
            runs_most = runs_most.max(runs(&self.folder).0);
        }
        let what = format!("{HOUR_COUNT} hours of {new} new chunks");
        let slowest = slowest.as_secs_f64() * 1000.0;
        self.memory.tell(&what, sum, &format!("slowest {slowest:.1} ms, at most {runs_most} runs"));
    }

    /// Packs of a run's own, as its writer adds them.
    fn add(&mut self, index: &mut Index, new: u64) {
        let packs = self.made_up.grow(new);
        let known = index.entry_count();
        let mut spent = Duration::ZERO;
        self.memory.measure(|| {
            for pack in packs {
                let pack = self.made_up.pack(pack);
                let start = Instant::now();
                index.add(&pack);
                spent += start.elapsed();
            }
        });
        assert_eq!(index.entry_count() - known, new);
        self.memory.tell(&format!("adding {new} chunks of this run"), spent, "");
    }
}

/// Number and bytes of the runs in the cache.
fn runs(folder: &Path) -> (usize, u64) {
    let folder = folder.join(REPOSITORY.to_string()).join("index");
    let lens = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().metadata().unwrap().len());
    lens.fold((0, 0), |(count, bytes), len| (count + 1, bytes + len))
}
