//! Bytes: each pack hashes to its name, each frame opens, expands and holds its chunks.

use std::sync::Arc;

use rayon::prelude::*;

use super::Report;
use super::differences::Differences;
use super::structure::Checked;
use crate::error::{Error, Kind, Result};
use crate::index::Index;
use crate::model::{
    Class, FrameKind, FramePlace, FrameView, PackId, PackInfo, PackMeta, PackNumber, Place, Record,
    RecordBody,
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
    let mut pass = Pass { reader: &reader, differences: Differences::default() };
    for (id, len) in listed {
        if pass.differences.is_full() {
            pass.differences.check(&reader, checked, report, observer)?;
        }
        let number = checked.index.find_pack(&id);
        let is_bad = match verify_pack(
            &mut pass,
            checked,
            (id, len, number),
            report,
            observer,
            &mut progress,
        ) {
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
    pass.differences.check(&reader, checked, report, observer)
}

/// What packs are read with, and what of them waits.
struct Pass<'p> {
    reader: &'p ChunkReader<'p>,
    differences: Differences,
}

/// Writes down that a pack is bad. Failing to is no reason to stop: the finding stands.
pub(super) fn record(repo: &Repository, id: PackId, report: &Report, observer: &dyn Observer) {
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

/// Verifies one pack, but for its differences; true if it is damaged.
fn verify_pack(
    pass: &mut Pass<'_>,
    checked: &mut Checked,
    (id, len, number): (PackId, u64, Option<PackNumber>),
    report: &mut Report,
    observer: &dyn Observer,
    progress: &mut Progress,
) -> Result<bool> {
    let object = format!("pack {id}");
    let (repo, name) = (pass.reader.repository(), pack_name(id));
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
    match verify_bytes(pass, checked, (&info, len, told), report, observer, progress) {
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

/// Reads a pack from its first byte to its last: every full frame, and the hash of all. True if it is damaged.
fn verify_bytes(
    pass: &mut Pass<'_>,
    checked: &mut Checked,
    (info, len, (object, number)): (&PackInfo, u64, (&str, Option<PackNumber>)),
    report: &mut Report,
    observer: &dyn Observer,
    progress: &mut Progress,
) -> Result<bool> {
    let (repo, name) = (pass.reader.repository(), pack_name(info.id));
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
            let bad = bad_frames(repo, info, window, &bytes);
            (bad, reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        for (place, error) in bad {
            match error.kind() {
                // Without the keys of class S its packs are only hashed.
                Kind::WrongKey => continue,
                kind if !kind.is_damage() => return Err(error),
                _ => {}
            }
            is_bad = true;
            report.find(observer, format!("{object}, frame at byte {}", place.position), error);
            if let Some(number) = number {
                checked.health.set_bad_frame(number, place.position);
            }
        }
        for view in window.iter().filter(|view| view.place.kind == FrameKind::Delta) {
            pass.differences.add(pass.reader, (info, number), view);
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

/// Where the first frame begins and the last one ends, bytes into the pack.
fn range_of(window: &[FrameView<'_>]) -> (u64, u64) {
    let start = window.first().map_or(0, |view| u64::from(view.place.position));
    let end = window.last().map_or(start, |view| {
        u64::from(view.place.position).saturating_add(view.place.sealed_len.into())
    });
    (start, end)
}

/// The full frames of a window that do not open, expand, or hold the chunks they should.
fn bad_frames(
    repo: &Repository,
    info: &PackInfo,
    window: &[FrameView<'_>],
    bytes: &[u8],
) -> Vec<(FramePlace, Error)> {
    let start = window.first().map_or(0, |view| view.place.position);
    let check = |view: &FrameView<'_>| {
        let from = (view.place.position - start) as usize;
        let sealed = bytes.get(from..from + view.place.sealed_len as usize);
        let opened = open(repo, info, view, sealed.unwrap_or_default());
        opened.err().map(|error| (view.place, error))
    };
    window.par_iter().filter(|view| view.place.kind == FrameKind::Full).filter_map(check).collect()
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

fn open(repo: &Repository, info: &PackInfo, view: &FrameView<'_>, sealed: &[u8]) -> Result<()> {
    let meta: PackMeta = info.meta();
    if meta.class == Class::S && !repo.keyring().has_secrets() {
        return Ok(());
    }
    let plain = pack::open_frame(repo.keyring(), &meta, &view.place, sealed, None)?;
    pack::check_chunks(repo.keyring(), meta.class, meta.purpose, &plain, view.chunks)
}

/// Runs of frames that expand to at most `plain_len` bytes together, or of one.
fn windows<'v, 'f>(
    views: &'v [FrameView<'f>],
    plain_len: u64,
) -> impl Iterator<Item = &'v [FrameView<'f>]> {
    let mut rest = views;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |view: &&FrameView<'f>| {
            bytes += u64::from(view.place.plain_len);
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
