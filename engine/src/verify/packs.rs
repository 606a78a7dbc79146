//! Bytes: each pack hashes to its name, each frame opens, expands and holds its chunks.

use std::sync::Arc;

use rayon::prelude::*;

use super::Report;
use super::structure::Checked;
use crate::error::{Error, Kind, Result};
use crate::index::Index;
use crate::model::{
    Class, FramePlace, FrameView, MemoryBound, PackId, PackInfo, PackMeta, PackNumber, Place,
    Record, RecordBody,
};
use crate::observe::{Event, Observer, Progress};
use crate::pack;
use crate::repo::{ChunkReader, Repository, pack_name};

/// Verifies every pack in the store, in the order of names.
pub(super) fn verify(
    repo: &Repository,
    checked: &mut Checked,
    report: &mut Report,
    observer: &dyn Observer,
) -> Result<()> {
    let listed = std::mem::take(&mut checked.listed);
    let mut progress = Progress {
        files_total: listed.len() as u64,
        bytes_total: listed.iter().map(|(_, len)| len).sum(),
        ..Progress::default()
    };
    let reader = ChunkReader::new(repo, Arc::clone(&checked.index)).for_differences();
    for (id, len) in listed {
        let number = checked.index.find_pack(&id);
        let is_bad =
            match verify_pack(&reader, checked, (id, len, number), report, observer, &mut progress)
            {
                // What the store cannot give of this pack is damage of it, and the others are read on.
                Err(error) if error.kind().is_damage() => {
                    report.find(observer, format!("pack {id}"), error);
                    number.into_iter().for_each(|number| checked.health.set_bad_pack(number));
                    true
                }
                outcome => outcome?,
            };
        if is_bad && number.is_some() {
            record(repo, id, report, observer);
        }
        progress.files_done += 1;
        observer.event(Event::Progress(progress));
    }
    Ok(())
}

/// Writes down that a pack is bad. Failing to is no reason to stop: the finding stands.
fn record(repo: &Repository, id: PackId, report: &Report, observer: &dyn Observer) {
    let reason = report.findings.last().map(|finding| finding.problem.clone()).unwrap_or_default();
    let known = repo.records("bad-pack").is_ok_and(|records| {
        records.iter().any(|(_, record)| match record {
            Ok(Record { body: RecordBody::BadPack { pack, .. }, .. }) => *pack == id,
            _ => false,
        })
    });
    if known {
        return;
    }
    if let Err(error) = repo.record_bad_pack(id, &reason) {
        let what = format!("pack {id} could not be recorded as bad: {error}");
        observer.event(Event::Note(&what));
    }
}

/// Verifies one pack; true if its own bytes are damaged. Frames whose bases are lost are findings too,
/// but of other packs.
fn verify_pack(
    reader: &ChunkReader<'_>,
    checked: &mut Checked,
    (id, len, number): (PackId, u64, Option<PackNumber>),
    report: &mut Report,
    observer: &dyn Observer,
    progress: &mut Progress,
) -> Result<bool> {
    let object = format!("pack {id}");
    let (repo, name) = (reader.repository(), pack_name(id));
    let read = |offset: u64, len: usize| repo.store().get_range(&name, offset, len);
    let info = match pack::read_footer(repo.keyring(), id, len, &read) {
        Ok(info) => info,
        Err(error) => {
            let error = error.context("footer");
            return bad_pack(error, &object, number, checked, report, observer).map(|()| true);
        }
    };
    let mut is_bad = false;
    if let Some(number) = number
        && !is_told_by(&checked.index, number, &info)
    {
        report.find(observer, object.as_str(), "its footer and its index tell differently of it");
        checked.health.set_bad_pack(number);
        is_bad = true;
    }
    let told = (object.as_str(), number);
    match verify_bytes(reader, checked, (&info, len, told), report, observer, progress) {
        Ok(is_damaged) => is_bad |= is_damaged,
        // A disk that cannot read these bytes may still read other packs.
        Err(error) => {
            bad_pack(error, &object, number, checked, report, observer)?;
            is_bad = true;
        }
    }
    report.bytes += len;
    Ok(is_bad)
}

/// Tells damage of a whole pack; another error is the caller's.
fn bad_pack(
    error: Error,
    object: &str,
    number: Option<PackNumber>,
    checked: &mut Checked,
    report: &mut Report,
    observer: &dyn Observer,
) -> Result<()> {
    if !error.kind().is_damage() {
        return Err(error);
    }
    report.find(observer, object, error);
    number.into_iter().for_each(|number| checked.health.set_bad_pack(number));
    Ok(())
}

/// Reads a pack from its first byte to its last: every frame, and the hash of all. True if something of it is
/// damaged, and not only bases of its frames.
fn verify_bytes(
    reader: &ChunkReader<'_>,
    checked: &mut Checked,
    (info, len, (object, number)): (&PackInfo, u64, (&str, Option<PackNumber>)),
    report: &mut Report,
    observer: &dyn Observer,
    progress: &mut Progress,
) -> Result<bool> {
    let (repo, name) = (reader.repository(), pack_name(info.id));
    let read = |offset: u64, len: usize| repo.store().get_range(&name, offset, len);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&read(0, crate::crypto::HEADER_LEN)?);
    let views: Vec<FrameView<'_>> = info.footer.views().collect();
    // While one is checked, the next is read and hashed. Two windows stand there sealed, and one opened and
    // expanded: three times the bound on what is opened, as before with one window of it.
    let mut windows = windows(&views, repo.memory().plain_len() / 4 * 3);
    let mut read_next = || match windows.next() {
        None => Ok(None),
        Some(window) => {
            let (start, end) = range_of(window);
            let bytes = read(start, usize::try_from(end - start).unwrap_or(usize::MAX))?;
            hasher.update(&bytes);
            Ok::<_, Error>(Some((window, bytes)))
        }
    };
    let mut is_bad = false;
    let mut next = read_next()?;
    while let Some((window, bytes)) = next {
        if observer.is_interrupted() {
            return Err(Error::new(Kind::Interrupted, "interrupted"));
        }
        let (bad, read) = std::thread::scope(|scope| {
            let reading = scope.spawn(&mut read_next);
            let bad = bad_frames(repo, reader, info, window, &bytes);
            (bad, reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        for (place, Failed { error, is_base }) in bad {
            match error.kind() {
                // Without the keys of class S its packs are only hashed.
                Kind::WrongKey => continue,
                // The store's trouble with a base says nothing about this pack.
                kind if !kind.is_damage() => return Err(error),
                _ => {}
            }
            is_bad |= !is_base;
            report.find(observer, format!("{object}, frame at byte {}", place.position), error);
            if let Some(number) = number {
                checked.health.set_bad_frame(number, place.position);
            }
        }
        report.frames += window.len() as u64;
        report.chunks += window.iter().map(|view| view.chunks.len() as u64).sum::<u64>();
        progress.bytes_done += bytes.len() as u64;
        observer.event(Event::Progress(*progress));
        next = read?;
    }
    let hashed = u64::from(info.footer_sealed_len) + 8;
    hasher.update(&read(len - hashed, usize::try_from(hashed).unwrap_or(usize::MAX))?);
    if *hasher.finalize().as_bytes() != info.id.0 {
        report.find(observer, object, "its bytes do not hash to its name");
        number.into_iter().for_each(|number| checked.health.set_bad_pack(number));
        is_bad = true;
    }
    Ok(is_bad)
}

/// Why a frame does not hold what it should.
struct Failed {
    error: Error,
    /// A base of it cannot be had: the frame itself may be good.
    is_base: bool,
}

/// Where the first frame begins and the last one ends, bytes into the pack.
fn range_of(window: &[FrameView<'_>]) -> (u64, u64) {
    let start = window.first().map_or(0, |view| u64::from(view.place.position));
    let end = window.last().map_or(start, |view| {
        u64::from(view.place.position).saturating_add(view.place.sealed_len.into())
    });
    (start, end)
}

/// The frames of a window that do not open, expand, or hold the chunks they should.
fn bad_frames(
    repo: &Repository,
    reader: &ChunkReader<'_>,
    info: &PackInfo,
    window: &[FrameView<'_>],
    bytes: &[u8],
) -> Vec<(FramePlace, Failed)> {
    let start = window.first().map_or(0, |view| view.place.position);
    let check = |view: &FrameView<'_>| {
        let from = (view.place.position - start) as usize;
        let sealed = bytes.get(from..from + view.place.sealed_len as usize);
        let opened = open(repo, reader, info, view, sealed.unwrap_or_default());
        opened.err().map(|failed| (view.place, failed))
    };
    window.par_iter().filter_map(check).collect()
}

/// True if the index has the pack as its footer tells it, with every chunk at its place.
fn is_told_by(index: &Index, number: PackNumber, info: &PackInfo) -> bool {
    index.pack(number) == info.meta()
        && info.footer.views().all(|view| {
            let mut offset: u32 = 0;
            view.chunks.iter().all(|chunk| {
                let place = Place { pack: number, frame: view.place, offset, len: chunk.len };
                offset = offset.saturating_add(chunk.len);
                index.find(&chunk.id).contains(&place)
            })
        })
}

fn open(
    repo: &Repository,
    reader: &ChunkReader<'_>,
    info: &PackInfo,
    view: &FrameView<'_>,
    sealed: &[u8],
) -> std::result::Result<(), Failed> {
    let meta: PackMeta = info.meta();
    if meta.class == Class::S && !repo.keyring().has_secrets() {
        return Ok(());
    }
    let prefix = reader.prefix_of(meta.class, view.bases);
    let prefix = prefix.map_err(|error| Failed { error, is_base: true })?;
    let keyring = repo.keyring();
    let opened = pack::open_frame(keyring, &meta, &view.place, sealed, prefix.as_deref());
    let checked = opened.and_then(|plain| {
        pack::check_chunks(keyring, meta.class, meta.purpose, &plain, view.chunks)
    });
    checked.map_err(|error| Failed { error, is_base: false })
}

/// Runs of frames that take at most `plain_len` bytes together once they are opened, or of one.
fn windows<'v, 'f>(
    views: &'v [FrameView<'f>],
    plain_len: u64,
) -> impl Iterator<Item = &'v [FrameView<'f>]> {
    let mut rest = views;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |view: &&FrameView<'f>| {
            bytes += MemoryBound::opened_len(&view.place);
            bytes <= plain_len
        };
        let count = rest.iter().take_while(fits).count().max(1);
        if rest.is_empty() {
            return None;
        }
        let (window, after) = rest.split_at(count);
        rest = after;
        Some(window)
    })
}
