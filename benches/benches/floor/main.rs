//! What a first backup and a restore of some files cost at least on this machine: every step that no
//! backup of this format can leave out, each alone, on one thread, with the engine's own functions.
//!
//! ```text
//! cargo bench -p coffer-benches --bench floor -- FOLDER [--out FOLDER]
//! ```
//!
//! The files are read once before, so that they are in the page cache. `--out` is where packs and restored
//! files are written for a while, and must be outside of the first folder: the temporary folder unless said.
//! The sum over all processors is the time that is left when the steps overlap perfectly and nothing else is done. Files are taken as a tree:
//! SQLite reads no database here. As a test (`cargo test -p coffer-benches --bench floor`) it runs on a few
//! small files.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coffer_engine::chunk::{Cutter, is_media, standard_profiles};
use coffer_engine::crypto::{Keyring, PackOpener, PackSealer};
use coffer_engine::frame::{self, Compressed};
use coffer_engine::model::{ChunkId, Class, Codec, Entropy, FrameKind, Purpose};
use keyring::keyring;

#[path = "../keyring.rs"]
mod keyring;

/// Bytes of files that go through the steps together.
const WINDOW_LEN: usize = 64 << 20;
/// Plaintext of a frame and bytes of a pack, as a new repository has them.
const FRAME_LEN: usize = 4 << 20;
const PACK_LEN: usize = 32 << 20;
const LEVEL: i32 = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = arguments.iter().position(|argument| argument == "--out");
    let out = out.map_or_else(std::env::temp_dir, |at| {
        PathBuf::from(arguments.get(at + 1).expect("--out needs a folder"))
    });
    let scratch = tempfile::Builder::new().prefix("coffer-floor.").tempdir_in(out).unwrap();
    // Cargo says so when it runs benchmarks, not tests.
    let is_benchmark = arguments.iter().any(|argument| argument == "--bench");
    let is_option = |at: usize| arguments[at].starts_with("--");
    let is_value = |at: usize| at > 0 && arguments[at - 1] == "--out";
    let folder = (0..arguments.len()).find(|at| !is_option(*at) && !is_value(*at));
    let folder = match folder.map(|at| &arguments[at]) {
        Some(folder) if is_benchmark => PathBuf::from(folder),
        _ => few_files(scratch.path()),
    };
    let mut floor = Floor::new(scratch.path());
    floor.run(&folder);
    floor.tell();
    assert!(floor.restored > 0, "{} has no bytes", folder.display());
    assert_eq!(floor.restored, floor.plain, "bytes that went in and came out");
}

fn few_files(scratch: &Path) -> PathBuf {
    let folder = scratch.join("files");
    std::fs::create_dir_all(folder.join("below")).unwrap();
    let text = "what a backup costs at least ".repeat(3000);
    std::fs::write(folder.join("a"), &text).unwrap();
    std::fs::write(folder.join("below/b"), text.to_uppercase()).unwrap();
    std::fs::write(folder.join("below/empty"), "").unwrap();
    folder
}

/// A step, and the time it took over all windows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Walk,
    Read,
    Cut,
    Name,
    Compress,
    Seal,
    Open,
    Expand,
    NameAgain,
    HashPack,
    WritePack,
    WriteFiles,
}

/// With what each belongs to: a backup, a restore.
const STEPS: [(Step, &str, bool, bool); 12] = [
    (Step::Walk, "walk and look at every file", true, false),
    (Step::Read, "open and read", true, false),
    (Step::Cut, "cut", true, false),
    (Step::Name, "name chunks", true, false),
    (Step::Compress, "compress", true, false),
    (Step::Seal, "seal", true, false),
    (Step::Open, "open", true, true),
    (Step::Expand, "expand", true, true),
    (Step::NameAgain, "name again", true, true),
    (Step::HashPack, "hash packs", true, false),
    (Step::WritePack, "write and sync packs", true, false),
    (Step::WriteFiles, "make and write files", false, true),
];

struct Floor {
    keyring: Keyring,
    sealer: PackSealer,
    opener: PackOpener,
    tree: Cutter,
    media: Cutter,
    scratch: PathBuf,
    seen: HashSet<ChunkId>,
    pack: Vec<u8>,
    pack_count: u64,
    /// Memory that frames go through, used again as a backup does.
    compressed: Vec<u8>,
    sealed: Vec<u8>,
    opened: Vec<u8>,
    expanded: Vec<u8>,
    took: [Duration; 12],
    files: u64,
    bytes: u64,
    /// Bytes of new chunks, and what came out of their frames again.
    plain: u64,
    restored: u64,
    stored: u64,
}

impl Floor {
    fn new(scratch: &Path) -> Self {
        let entropy = Entropy::fixed(b"floor");
        let keyring = keyring();
        let sealer = keyring.new_pack(&entropy, Class::Ordinary, Purpose::Data).unwrap();
        let cutter = |name: &str| {
            let profiles = standard_profiles();
            let profile = profiles.iter().find(|profile| profile.name == name).unwrap();
            Cutter::new(&keyring.gear_table(), profile).unwrap()
        };
        let (tree, media) = (cutter("tree"), cutter("media"));
        let opener = sealer.opener();
        Self {
            keyring,
            sealer,
            opener,
            tree,
            media,
            scratch: scratch.to_owned(),
            seen: HashSet::new(),
            pack: Vec::new(),
            pack_count: 0,
            compressed: Vec::new(),
            sealed: Vec::new(),
            opened: Vec::new(),
            expanded: Vec::new(),
            took: [Duration::ZERO; 12],
            files: 0,
            bytes: 0,
            plain: 0,
            restored: 0,
            stored: 0,
        }
    }

    fn time<T>(&mut self, step: Step, act: impl FnOnce(&mut Self) -> T) -> T {
        let begun = Instant::now();
        let done = act(self);
        let at = STEPS.iter().position(|(one, ..)| *one == step).unwrap();
        self.took[at] += begun.elapsed();
        done
    }

    fn run(&mut self, folder: &Path) {
        // Once so that all is in the page cache, once for the clock.
        for (path, _) in files_below(folder) {
            let _ = std::fs::read(path);
        }
        let files = self.time(Step::Walk, |_| files_below(folder));
        let mut rest = files.as_slice();
        while !rest.is_empty() {
            let mut len = 0;
            let fits = |(_, file_len): &&(PathBuf, u64)| {
                let is_first = len == 0;
                len += usize::try_from(*file_len).unwrap();
                is_first || len <= WINDOW_LEN
            };
            let count = rest.iter().take_while(fits).count();
            let (window, after) = rest.split_at(count);
            self.window(window);
            rest = after;
        }
        self.write_pack();
    }

    fn window(&mut self, files: &[(PathBuf, u64)]) {
        let read = |path: &PathBuf| std::fs::read(path).unwrap_or_default();
        let contents: Vec<Vec<u8>> =
            self.time(Step::Read, |_| files.iter().map(|(path, _)| read(path)).collect());
        self.files += contents.len() as u64;
        self.bytes += contents.iter().map(|content| content.len() as u64).sum::<u64>();
        let chunks = self.time(Step::Cut, |floor| floor.cut(&contents));
        let named: Vec<(ChunkId, &[u8])> = self.time(Step::Name, |floor| {
            chunks.iter().map(|chunk| (floor.name(chunk), *chunk)).collect()
        });
        let mut frames: Vec<(Vec<u8>, Vec<usize>)> = Vec::new();
        for (id, chunk) in named {
            if !self.seen.insert(id) {
                continue;
            }
            self.plain += chunk.len() as u64;
            match frames.last_mut().filter(|(plain, _)| plain.len() + chunk.len() <= FRAME_LEN) {
                Some((plain, lens)) => {
                    plain.extend_from_slice(chunk);
                    lens.push(chunk.len());
                }
                None => frames.push((chunk.to_vec(), vec![chunk.len()])),
            }
        }
        for (plain, lens) in frames {
            self.restored += self.frame(plain, &lens);
        }
        self.time(Step::WriteFiles, |floor| floor.write_files(&contents));
        let _ = std::fs::remove_dir_all(self.scratch.join("restored"));
    }

    fn cut<'c>(&self, contents: &'c [Vec<u8>]) -> Vec<&'c [u8]> {
        let mut chunks = Vec::new();
        for content in contents {
            let is_media = is_media(content, content.len() as u64);
            let cutter = if is_media { &self.media } else { &self.tree };
            let mut rest = content.as_slice();
            while let Some(len) = cutter.cut(rest, true) {
                let (chunk, after) = rest.split_at(len);
                chunks.push(chunk);
                rest = after;
            }
        }
        chunks
    }

    fn name(&self, chunk: &[u8]) -> ChunkId {
        self.keyring.data_id(Class::Ordinary, chunk).unwrap()
    }

    /// Takes a frame into a pack and out again; how many bytes came out.
    fn frame(&mut self, plain: Vec<u8>, lens: &[usize]) -> u64 {
        let room = std::mem::take(&mut self.compressed);
        let compress = |_: &mut Self| frame::compress_in(plain, LEVEL, room).unwrap();
        let (compressed, room) = self.time(Step::Compress, compress);
        let Compressed { codec, plain_len, payload, .. } = compressed;
        let (position, kind) = (self.pack.len() as u64, FrameKind::Full);
        self.time(Step::Seal, |floor| {
            let (sealer, sealed) = (&floor.sealer, &mut floor.sealed);
            sealer.seal_frame(position, kind, codec, plain_len, &payload, sealed).unwrap();
        });
        self.time(Step::Open, |floor| {
            let (opener, sealed, opened) = (&floor.opener, &floor.sealed, &mut floor.opened);
            opener.open_frame(position, kind, codec, plain_len, sealed, opened).unwrap();
        });
        self.time(Step::Expand, |floor| {
            let (opened, expanded) = (&floor.opened, &mut floor.expanded);
            frame::expand_in(codec, opened, plain_len, None, expanded).unwrap();
        });
        let is_raw = codec == Codec::Raw;
        self.time(Step::NameAgain, |floor| {
            let mut rest = if is_raw { &floor.opened[..] } else { &floor.expanded[..] };
            for len in lens {
                let (chunk, after) = rest.split_at(*len);
                std::hint::black_box(floor.name(chunk));
                rest = after;
            }
        });
        self.pack.extend_from_slice(&self.sealed);
        self.compressed = if is_raw { room } else { payload };
        if self.pack.len() >= PACK_LEN {
            self.write_pack();
        }
        let out = if is_raw { &self.opened } else { &self.expanded };
        out.len() as u64
    }

    fn write_pack(&mut self) {
        let pack = std::mem::take(&mut self.pack);
        self.stored += pack.len() as u64;
        self.pack_count += 1;
        let path = self.scratch.join(format!("pack-{}", self.pack_count));
        self.time(Step::HashPack, |_| std::hint::black_box(blake3::hash(&pack)));
        self.time(Step::WritePack, |_| {
            let mut file = File::create_new(&path).unwrap();
            file.write_all(&pack).unwrap();
            file.sync_all().unwrap();
        });
    }

    fn write_files(&self, contents: &[Vec<u8>]) {
        let folder = self.scratch.join("restored");
        std::fs::create_dir_all(&folder).unwrap();
        for (number, content) in contents.iter().enumerate() {
            let mut file = File::create_new(folder.join(number.to_string())).unwrap();
            file.write_all(content).unwrap();
        }
    }

    fn tell(&self) {
        let (mib, threads) = (f64::from(1 << 20), std::thread::available_parallelism().unwrap());
        println!(
            "{} files, {:.1} MiB, {:.1} MiB of new chunks, {:.1} MiB in packs",
            self.files,
            self.bytes as f64 / mib,
            self.plain as f64 / mib,
            self.stored as f64 / mib,
        );
        println!("{:>28}  backup, s  restore, s", "");
        let (mut backup, mut restore) = (Duration::ZERO, Duration::ZERO);
        for ((_, name, is_of_backup, is_of_restore), took) in STEPS.iter().zip(&self.took) {
            let shown = |counts: bool| match counts {
                true => format!("{:.2}", took.as_secs_f64()),
                false => "–".to_owned(),
            };
            println!("{name:>28}  {:>9}  {:>10}", shown(*is_of_backup), shown(*is_of_restore));
            backup += if *is_of_backup { *took } else { Duration::ZERO };
            restore += if *is_of_restore { *took } else { Duration::ZERO };
        }
        let line = |name: &str, parts: f64| {
            let shown = |sum: Duration| sum.as_secs_f64() / parts;
            println!("{name:>28}  {:>9.2}  {:>10.2}", shown(backup), shown(restore));
        };
        line("sum", 1.0);
        line(&format!("over {threads} processors"), threads.get() as f64);
    }
}

/// Every regular file below a folder, by name, with its length.
fn files_below(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort_unstable();
    for path in entries {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            files.extend(files_below(&path));
        } else if meta.is_file() {
            files.push((path, meta.size()));
        }
    }
    files
}
