//! Claims against each other: names, copies, segments, packs, manifests.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use super::health::Health;
use super::{Report, control, secrets, touched};
use crate::error::{Error, Kind, Result};
use crate::fence::View;
use crate::format::node::{NodeKind, decode_id_list, decode_page, decode_table, references};
use crate::index::{Index, Marks};
use crate::manifest::{Names, Start, walk_references};
use crate::model::{ChunkId, NodeRef, PackId, SegmentId, Snapshot, SnapshotRef, Source};
use crate::observe::{Event, Observer, Progress};
use crate::repo::{ChunkReader, Repository, is_object_name, parse_pack_name};

/// The repository as its objects tell it, loaded without trust in any cache.
pub(super) struct Checked {
    pub(super) index: Arc<Index>,
    pub(super) health: Health,
    /// Every pack in the store with its length.
    pub(super) listed: Vec<(PackId, u64)>,
    snapshots: Vec<(SnapshotRef, Snapshot)>,
}

impl Checked {
    /// Loads and compares everything but the manifests.
    pub(super) fn load(
        repo: &Repository,
        report: &mut Report,
        observer: &dyn Observer,
    ) -> Result<Self> {
        names(repo, report, observer)?;
        copies(repo, report, observer)?;
        control::slots(repo, report, observer)?;
        control::records(repo, report, observer)?;
        let view = control::generations(repo, report, observer)?;
        let snapshots = match &view {
            Some(view) => snapshots(repo, view, report, observer)?,
            None => Vec::new(),
        };
        control::authors(repo, &snapshots, observer);
        let index = segments(repo, report, observer)?;
        let mut present = vec![false; index.pack_number_end()];
        let mut listed = Vec::new();
        repo.store().list("packs/", &mut |name, len| {
            let Some(id) = parse_pack_name(name) else { return Ok(()) };
            listed.push((id, len));
            if let Some(number) = index.find_pack(&id)
                && index.pack(number).pack_len == len
                && let Some(slot) = present.get_mut(number.0 as usize)
            {
                *slot = true;
            }
            Ok(())
        })?;
        listed.sort_unstable();
        report.packs = listed.len() as u64;
        report.orphans =
            listed.iter().filter(|(id, _)| index.find_pack(id).is_none()).count() as u64;
        for (number, pack) in index.packs() {
            if view.as_ref().is_some_and(|view| view.is_deleted(&pack.id)) {
                // A prune gave it up: it may be gone, and nothing may need it.
                present.get_mut(number.0 as usize).into_iter().for_each(|slot| *slot = false);
            } else if !present.get(number.0 as usize).copied().unwrap_or(false) {
                let here = listed.binary_search_by_key(&pack.id, |(id, _)| *id);
                let problem = match here.ok().and_then(|at| listed.get(at)) {
                    Some((_, len)) => format!("has {len} bytes, its index says {}", pack.pack_len),
                    None => "is missing".to_owned(),
                };
                report.find(observer, format!("pack {}", pack.id), problem);
            }
        }
        Ok(Self { index: Arc::new(index), health: Health::new(present), listed, snapshots })
    }

    /// Walks every manifest once, and names what damage touches.
    pub(super) fn manifests(
        &self,
        repo: &Repository,
        report: &mut Report,
        observer: &dyn Observer,
    ) -> Result<()> {
        let reader = ChunkReader::new(repo, Arc::clone(&self.index));
        let mut walk = Walk {
            checked: self,
            reader: &reader,
            seen: Marks::new(&self.index),
            bad: HashSet::new(),
        };
        let mut progress =
            Progress { files_total: self.snapshots.len() as u64, ..Progress::default() };
        for (_, snapshot) in &self.snapshots {
            for source in &snapshot.sources {
                let root = source.root.filter(|_| repo.may_read(source));
                for start in root.map(Start::Manifest).into_iter().chain(secrets::lists(source)) {
                    walk.manifest(start, report, observer)?;
                }
            }
            for pending in &snapshot.pending {
                walk.manifest(Start::Content(*pending), report, observer)?;
            }
            progress.files_done += 1;
            observer.event(crate::observe::Event::Progress(progress));
        }
        let sources: Vec<&Source> = self.snapshots.iter().flat_map(|it| &it.1.sources).collect();
        secrets::check_lists(&reader, repo, &sources, report, observer)?;
        if !walk.bad.is_empty() {
            touched::find(&reader, &self.snapshots, &walk.bad, report, observer)?;
        }
        report.snapshots_damaged.sort();
        report.snapshots_damaged.dedup();
        Ok(())
    }
}

/// A walk over all manifests that goes into no node twice.
struct Walk<'c> {
    checked: &'c Checked,
    reader: &'c ChunkReader<'c>,
    seen: Marks<'c>,
    bad: HashSet<ChunkId>,
}

impl Walk<'_> {
    fn manifest(
        &mut self,
        start: Start,
        report: &mut Report,
        observer: &dyn Observer,
    ) -> Result<()> {
        let reader = self.reader;
        let get = |node: &NodeRef| reader.node(node);
        walk_references(start, &get, &mut |node, names| {
            if observer.is_interrupted() {
                return Err(Error::new(Kind::Interrupted, "interrupted"));
            }
            if self.bad.contains(&node.id)
                || !self.checked.health.resolves(&self.checked.index, &node.id)
            {
                if self.bad.insert(node.id)
                    && let Some(problem) = self.why_lost(&node.id)
                {
                    report.find(observer, format!("chunk {}", node.id), problem);
                }
                return Ok(false);
            }
            let Names::Node(kind) = names else { return Ok(false) };
            if !self.seen.insert(&node.id) {
                return Ok(false);
            }
            report.nodes += 1;
            match reader.node(node).and_then(|bytes| decode(node, kind, &bytes)) {
                Ok(()) => Ok(true),
                Err(error) if !error.kind().is_damage() => Err(error),
                Err(error) => {
                    self.bad.insert(node.id);
                    report.find(observer, format!("node {}", node.id), error);
                    Ok(false)
                }
            }
        })
    }

    /// What no finding says yet of a chunk that does not resolve; none if all its copies stand in packs
    /// or frames that were found damaged: a pack holds thousands of chunks.
    fn why_lost(&self, id: &ChunkId) -> Option<&'static str> {
        let copies = self.checked.index.find(id);
        if copies.is_empty() {
            return Some("is in no index segment");
        }
        let is_good = copies.iter().any(|copy| self.checked.health.is_good(copy));
        is_good.then_some("stands in a frame whose base has no intact copy")
    }
}

/// Decodes a node whole, and compares it with the reference to it.
fn decode(node: &NodeRef, kind: NodeKind, bytes: &[u8]) -> Result<()> {
    match kind {
        NodeKind::Page => decode_page(bytes).map(|_| ())?,
        NodeKind::Table => decode_table(bytes).map(|_| ())?,
        NodeKind::IdList => decode_id_list(bytes).map(|_| ())?,
    }
    let head = references(bytes)?;
    if (head.kind, head.height) == (kind, node.height) {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, "kind or height differs from its reference"))
}

/// Objects whose names the format does not know.
fn names(repo: &Repository, report: &mut Report, observer: &dyn Observer) -> Result<()> {
    let mut odd = Vec::new();
    repo.store().list("", &mut |name, _| {
        if !is_object_name(name) {
            odd.push(name.to_owned());
        }
        Ok(())
    })?;
    for name in odd {
        report.find(observer, name, "is no object of a repository");
    }
    Ok(())
}

/// Second copies that are missing or differ.
fn copies(repo: &Repository, report: &mut Report, observer: &dyn Observer) -> Result<()> {
    let mut names = vec!["config".to_owned()];
    for folder in ["rings/", "gen/"] {
        repo.store().list(folder, &mut |name, _| {
            let name = name.strip_suffix(".copy").unwrap_or(name);
            if folder == "rings/" || name.ends_with(".close") {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
    }
    names.sort();
    names.dedup();
    for name in names {
        let copy = format!("{name}.copy");
        let first = repo.store().get(&name, crate::limits::GENERATION_LEN_MAX);
        let second = repo.store().get(&copy, crate::limits::GENERATION_LEN_MAX);
        match (first, second) {
            (Ok(first), Ok(second)) if first == second => {}
            (Ok(_), Ok(_)) => report.find(observer, name, "differs from its second copy"),
            (Ok(_), Err(error))
                if error.kind() == Kind::NotFound && is_unfinished(repo, &name)? =>
            {
                let what = format!("{copy} is not made yet: a prune is at work or was interrupted");
                observer.event(Event::Note(&what));
            }
            (first, second) => {
                let sides = [(&name, first.err()), (&copy, second.err())];
                for (name, error) in sides.into_iter().filter_map(|(name, e)| Some((name, e?))) {
                    if !error.kind().is_damage() {
                        return Err(error);
                    }
                    report.find(observer, name.as_str(), error);
                }
            }
        }
    }
    Ok(())
}

/// True for a close whose fate is not said: its copy is made before that, by the prune or the next one.
fn is_unfinished(repo: &Repository, name: &str) -> Result<bool> {
    let Some(generation) = name.strip_suffix(".close") else { return Ok(false) };
    Ok(repo.store().len(&format!("{generation}.fate"))?.is_none())
}

/// Loads every valid snapshot object, and tells which are damaged.
fn snapshots(
    repo: &Repository,
    view: &View,
    report: &mut Report,
    observer: &dyn Observer,
) -> Result<Vec<(SnapshotRef, Snapshot)>> {
    // All of them, also of snapshots that are long gone.
    let forgets = repo.forgotten(&|_| true).map(|_| ());
    let objects = match forgets.and_then(|()| repo.valid_objects(view)) {
        Ok(objects) => objects,
        Err(error) if error.kind().is_damage() => {
            report.find(observer, "forgets", error);
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut loaded = Vec::new();
    for object in objects {
        match repo.load_snapshot(&object) {
            Ok(snapshot) => loaded.push((object, snapshot)),
            Err(error) if error.kind().is_damage() => {
                report.snapshots_damaged.push(object.sid);
                report.find(observer, format!("snapshot {}", object.sid), error);
            }
            Err(error) => return Err(error),
        }
    }
    report.snapshots = loaded.len() as u64;
    Ok(loaded)
}

/// Loads every segment from the store; gives an index of the intact ones.
fn segments(repo: &Repository, report: &mut Report, observer: &dyn Observer) -> Result<Index> {
    let mut segments: Vec<(SegmentId, u64)> = Vec::new();
    repo.store().list("index/", &mut |name, len| {
        let id = name.strip_prefix("index/").and_then(|hash| hash.parse::<SegmentId>().ok());
        segments.extend(id.map(|id| (id, len)));
        Ok(())
    })?;
    segments.sort_unstable();
    let damaged = RefCell::new(Vec::new());
    let load = |id: SegmentId| match repo.load_segment(id) {
        Ok(packs) => Ok(Some(packs)),
        Err(error) if error.kind().is_damage() => {
            damaged.borrow_mut().push((id, error));
            Ok(None)
        }
        Err(error) => Err(error),
    };
    let index = Index::rebuild(repo.cache_folder().as_deref(), &segments, &load)?;
    for (id, error) in damaged.into_inner() {
        report.find(observer, format!("index segment {id}"), error);
    }
    Ok(index)
}
