//! One run: view, parents, capture, snapshot, last look.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::assemble::Captured;
use super::capture::{self, Context};
use super::{BackupOptions, BackupSummary, job, parent};
use crate::error::{Error, Kind, Result, SourceError};
use crate::fence::{Look, View};
use crate::manifest::{self, Names, Start};
use crate::model::{
    ChunkId, NodeRef, Snapshot, SnapshotId, SnapshotRef, SnapshotState, Source, SourceStatus,
    Totals,
};
use crate::observe::{Event, Observer};
use crate::repo::{ChunkReader, ChunkWriter, Damage, Known, Relied, Repository, Usable, write};

/// How often a run begins again because packs it relied on were taken away.
const TRIES_MAX: u64 = 8;

/// Backs up the sources of `options` and acknowledges a snapshot.
///
/// # Errors
/// `Input` when nothing was asked for; `NotFound` when every source failed; `Interrupted`; those of the store.
/// Nothing is listed then.
pub fn backup(
    repo: &Repository,
    mut options: BackupOptions,
    observer: &dyn Observer,
) -> Result<BackupSummary> {
    if options.tree.is_none() && options.stream.is_none() {
        return Err(Error::new(Kind::Input, "nothing to back up: give a path or a stream"));
    }
    if !options.dry_run {
        repo.begin_writing()?;
    }
    let mut run = Run {
        repo,
        observer,
        sid: SnapshotId(repo.entropy().bytes()),
        job: job::name(&options),
        started_ns: repo.clock().now_ns(),
        captured: None,
    };
    for seq in 0..TRIES_MAX {
        if let Some(summary) = run.attempt(seq, &mut options)? {
            return Ok(summary);
        }
        observer.event(Event::Note("packs were taken away meanwhile; looking everything up again"));
    }
    let what = format!("packs this run relied on were taken away {TRIES_MAX} times; run it again");
    Err(Error::new(Kind::Unavailable, what))
}

struct Run<'r> {
    repo: &'r Repository,
    observer: &'r dyn Observer,
    sid: SnapshotId,
    job: String,
    started_ns: i64,
    /// Sources of the attempt before.
    captured: Option<Sources>,
}

/// What the sources gave, ready for a snapshot.
#[derive(Clone, Default)]
struct Sources {
    list: Vec<Source>,
    totals: Totals,
    directories: u64,
    errors: u64,
}

impl Run<'_> {
    /// One try; none when packs it relied on are gone.
    fn attempt(&mut self, seq: u64, options: &mut BackupOptions) -> Result<Option<BackupSummary>> {
        let repo = self.repo;
        let view = repo.view()?;
        view.refuse_writing()?;
        let index = Arc::new(repo.load_index(self.observer)?);
        let (usable, damage) = Usable::new(repo, &index, &view, self.observer)?;
        self.tell(&damage);
        let relied = Relied::new(&index);
        let stored = AtomicU64::new(0);
        let known = Known { index: &index, usable: &usable, relied: &relied };
        let reader = ChunkReader::new(repo, Arc::clone(&index));
        let context = Context::new(repo, known, &reader, options, self.observer);
        let sources = match self.captured.take() {
            Some(sources) if closure_is_stored(context, &sources)? => sources,
            Some(sources) if options.stream.is_none() && has_stream(&sources) => {
                let what = "a prune took packs away while a stream was stored; run it again";
                return Err(Error::new(Kind::Unavailable, what));
            }
            _ => self.capture(context, &view, options, &stored)?,
        };
        if options.dry_run {
            return Ok(Some(self.summary(&sources, None)));
        }
        let lost = relied.lost(repo, &index)?;
        if !lost.is_empty() {
            self.captured = Some(sources);
            return Ok(None);
        }
        let snapshot = self.snapshot(seq, &view, &damage, options, &sources);
        let object = repo.put_snapshot(&snapshot)?;
        if self.is_lost(&object)? {
            self.captured = Some(sources);
            return Ok(None);
        }
        if let Err(error) = repo.remember(&object, snapshot.head) {
            // The snapshot is listed and safe: what is lost is only the proof against an older copy.
            self.observer.event(Event::Note(&format!("not remembered on this host: {error}")));
        }
        Ok(Some(self.summary(&sources, Some(object))))
    }

    /// The last look at the fence: true if a prune has begun that does not list the snapshot.
    fn is_lost(&self, object: &SnapshotRef) -> Result<bool> {
        let next = object.generation.saturating_add(1);
        if !self.repo.generation_exists(next)? {
            return Ok(false);
        }
        let view = self.repo.view()?;
        if view.highest() < next {
            let what = format!("gen/{next} exists, but the store does not list it; run it again");
            return Err(Error::new(Kind::Unavailable, what));
        }
        Ok(view.look(object) == Look::Again)
    }

    fn tell(&self, damage: &Damage) {
        for pack in &damage.missing {
            let what = format!(
                "pack {pack} is missing: what it held is stored again if it is still there"
            );
            self.observer.event(Event::Finding(&what));
        }
    }

    fn capture<'c>(
        &self,
        context: Context<'c>,
        view: &View,
        options: &mut BackupOptions,
        stored: &'c AtomicU64,
    ) -> Result<Sources> {
        let snapshots = if options.force {
            Vec::new()
        } else {
            self.repo.valid_snapshots(view, self.observer)?
        };
        let find = |kind: &str, name: &str| {
            parent::find(&snapshots, (&options.host, &self.job), (kind, name))
        };
        let mut sources = Sources::default();
        let tree = options.tree.as_ref().map(|tree| (tree, find("tree", "files")));
        let stream = options.stream.take();
        let work = |writer: &mut ChunkWriter<'c>| -> Result<()> {
            if let Some((tree, parent)) = &tree {
                let outcome = capture::tree(context, writer, tree, parent.as_ref())?;
                let mut source = blank("tree", "files");
                source.roots = job::roots(tree);
                source.parent = parent.as_ref().map(|parent| parent.reference);
                sources.add(source, outcome, self.observer);
            }
            if let Some(stream) = stream {
                let source = blank("stream", &stream.name);
                let outcome = capture::stream(context, writer, stream)?;
                sources.add(source, outcome, self.observer);
            }
            if sources.list.iter().all(|source| source.status == SourceStatus::Failed) {
                return Err(Error::new(
                    Kind::NotFound,
                    "no source could be read; nothing is listed",
                ));
            }
            Ok(())
        };
        let written = write(context.repo, context.known, stored, options.dry_run, work)?.1;
        sources.totals.data_added = written.data_added;
        sources.totals.data_stored = written.stored;
        Ok(sources)
    }

    fn snapshot(
        &self,
        seq: u64,
        view: &View,
        damage: &Damage,
        options: &BackupOptions,
        sources: &Sources,
    ) -> Snapshot {
        let partial = sources.is_partial();
        Snapshot {
            sid: self.sid,
            seq,
            generation: view.highest(),
            state: if partial { SnapshotState::Partial } else { SnapshotState::Complete },
            host: options.host.clone(),
            job: self.job.clone(),
            tags: options.tags.clone(),
            started_ns: self.started_ns,
            finished_ns: self.repo.clock().now_ns(),
            tool: options.tool.clone(),
            author: self.repo.author().host(),
            ring: self.repo.ring(),
            head: view.head(),
            bad_seen: damage.bad.clone(),
            totals: sources.totals,
            sources: sources.list.clone(),
            pending: Vec::new(),
        }
    }

    fn summary(&self, sources: &Sources, object: Option<SnapshotRef>) -> BackupSummary {
        BackupSummary {
            snapshot_id: object.map(|object| object.sid),
            parent: sources.list.iter().find_map(|source| source.parent).map(|parent| parent.sid),
            partial: sources.is_partial(),
            errors: sources.errors,
            totals: sources.totals,
            directories: sources.directories,
            started_ns: self.started_ns,
            finished_ns: self.repo.clock().now_ns(),
        }
    }
}

impl Sources {
    fn is_partial(&self) -> bool {
        self.errors > 0 || self.list.iter().any(|source| source.status == SourceStatus::Failed)
    }

    fn add(
        &mut self,
        mut source: Source,
        outcome: std::result::Result<Captured, SourceError>,
        observer: &dyn Observer,
    ) {
        match outcome {
            Err(problem) => {
                observer.event(Event::SourceProblem(&problem));
                self.errors += 1;
                source.status = SourceStatus::Failed;
                source.message = Some(problem.to_string());
            }
            // All roots unreadable: there is no recovery point in an empty manifest.
            Ok(captured) if captured.entries == 0 && captured.errors > 0 => {
                self.errors += captured.errors;
                source.status = SourceStatus::Failed;
                source.message = Some("nothing could be read".to_owned());
            }
            Ok(captured) => {
                self.errors += captured.errors;
                self.directories += captured.directories;
                let totals = &mut self.totals;
                totals.entries += captured.entries;
                totals.bytes += captured.bytes;
                totals.files_new += captured.totals.files_new;
                totals.files_changed += captured.totals.files_changed;
                totals.files_unmodified += captured.totals.files_unmodified;
                source.root = captured.root.map(|root| root.node);
                source.entries = captured.entries;
                source.bytes = captured.bytes;
                source.errors = captured.errors;
                if captured.changed > 0 {
                    let changed = captured.changed.to_string();
                    source.facts.insert("changed_while_read".to_owned(), changed);
                }
            }
        }
        self.list.push(source);
    }
}

fn blank(kind: &str, name: &str) -> Source {
    Source {
        kind: kind.to_owned(),
        name: name.to_owned(),
        roots: Vec::new(),
        status: SourceStatus::Complete,
        message: None,
        errors: 0,
        root: None,
        entries: 0,
        bytes: 0,
        profile: if kind == "tree" { "tree" } else { "dump" }.to_owned(),
        parent: None,
        facts: BTreeMap::new(),
        s_data_ids: None,
        s_node_ids: None,
    }
}

fn has_stream(sources: &Sources) -> bool {
    sources.list.iter().any(|source| source.kind == "stream")
}

/// True if everything the sources need resolves in packs that may be relied on.
fn closure_is_stored(context: Context<'_>, sources: &Sources) -> Result<bool> {
    let get = |node: &NodeRef| context.reader.node(node);
    for root in sources.list.iter().filter_map(|source| source.root) {
        let mut whole = context.known.contains(&root.id);
        if !whole {
            return Ok(false);
        }
        let mut seen: HashSet<ChunkId> = HashSet::new();
        let walked = manifest::walk_references(Start::Manifest(root), &get, &mut |node, names| {
            whole = whole && context.known.contains(&node.id);
            Ok(whole && names != Names::Data && seen.insert(node.id))
        });
        match walked {
            Ok(()) if whole => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind().is_damage() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
