//! One run: view, parents, capture, snapshot, last look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::capture::{self, Context};
use super::checkpoint::Checkpoints;
use super::moment::Moment;
use super::scan::Scan;
use super::sources::{Sources, blank, check_names, closure_is_stored, is_taken};
use super::{
    BackupOptions, BackupSummary, DatabaseSource, SourceOptions, job, parent, secrets, sources,
};
use crate::error::{Error, Kind, Result};
use crate::fence::{Look, View};
use crate::model::{Class, Snapshot, SnapshotId, SnapshotRef, SnapshotState, Totals};
use crate::observe::{Event, Observer};
use crate::repo::{
    ChunkReader, ChunkWriter, Damage, Known, Relied, Repository, Usable, Writing, write,
};

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
    check_names(&options.sources)?;
    secrets::check_key(repo, &options.sources)?;
    let job = job::name(&options, repo.keyring())?;
    sources::claim(&mut options.sources);
    if !options.dry_run {
        repo.begin_writing()?;
    }
    let mut run = Run {
        repo,
        observer,
        sid: SnapshotId(repo.entropy().bytes()),
        job,
        started_ns: repo.clock().now_ns(),
        captured: None,
        seq: AtomicU64::new(0),
    };
    for _ in 0..TRIES_MAX {
        if let Some(summary) = run.attempt(&mut options)? {
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
    /// Number of the run's next snapshot object.
    seq: AtomicU64,
}

impl Run<'_> {
    /// One try; none when packs it relied on are gone.
    fn attempt(&mut self, options: &mut BackupOptions) -> Result<Option<BackupSummary>> {
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
        let sqlite = options.sqlite.clone();
        let scan = Scan::new(self.observer, options.secret_scan && self.captured.is_none());
        let moment = Moment::default();
        let context = Context::new(repo, known, &reader, &scan).with(options, sqlite.as_ref());
        let context = Context { moment: Some(&moment), ..context };
        let sources = match self.captured.take() {
            Some(sources) if closure_is_stored(context, &sources)? => sources,
            Some(_) if options.sources.iter().any(is_taken) => {
                let what = "a prune took packs away while a stream was stored; run it again";
                return Err(Error::new(Kind::Unavailable, what));
            }
            _ => {
                let blank = self.blank(&view, &damage, options);
                let checkpoints = options.checkpoint_interval.map(|interval| {
                    Checkpoints::new((repo, self.observer), known, interval, (blank, &self.seq))
                });
                let checkpoints = checkpoints.as_ref().filter(|_| !options.dry_run);
                let context = Context { checkpoints, ..context };
                self.capture(context, &view, options, &stored)?
            }
        };
        scan.finish();
        if options.dry_run || (options.watched && sources.is_same()) {
            return Ok(Some(self.summary(&sources, None)));
        }
        let lost = relied.lost(repo, &index)?;
        if !lost.is_empty() {
            self.captured = Some(sources);
            return Ok(None);
        }
        let partial = sources.is_partial();
        let snapshot = Snapshot {
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            state: if partial { SnapshotState::Partial } else { SnapshotState::Complete },
            finished_ns: repo.clock().now_ns(),
            totals: sources.totals,
            sources: sources.list.clone(),
            ..self.blank(&view, &damage, options)
        };
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
            let job = (options.host.as_str(), self.job.as_str());
            let names: Vec<_> = options.sources.iter().map(|it| (it.kind(), it.name())).collect();
            let names: Vec<_> = names.iter().map(|(kind, name)| (*kind, name.as_ref())).collect();
            self.repo.recent_snapshots(view, job, &names, self.observer)?
        };
        let find = |kind: &str, name: &str| {
            parent::find(&snapshots, (&options.host, &self.job), (kind, name))
        };
        self.fix_moment(context, options);
        let mut sources = Sources::default();
        let work = |writer: &mut ChunkWriter<'c>| -> Result<()> {
            for asked in &mut options.sources {
                let parents = find(asked.kind(), &asked.name());
                let mut source = blank(asked, options.watched);
                if !matches!(asked, SourceOptions::Stream(_)) {
                    source.parent = parents.first().map(|parent| parent.reference);
                }
                if let Some(checkpoints) = context.checkpoints {
                    checkpoints.begin(&source);
                }
                let outcome = match asked {
                    SourceOptions::Tree { options, .. } => {
                        capture::tree(context, writer, options, Class::Ordinary, &parents)?
                    }
                    SourceOptions::Sqlite(database) => match &database.found {
                        Err(problem) => Err(problem.clone()),
                        Ok(path) => capture::sqlite(context, writer, path, &parents)?,
                    },
                    SourceOptions::Stream(stream) => {
                        capture::stream(context, writer, stream, &parents)?
                    }
                    SourceOptions::Secrets(asked) => {
                        secrets::capture(context, writer, asked, parents.first())?
                    }
                };
                sources.add(source, outcome, self.observer);
                sources.note_same(&parents);
                if let Some(checkpoints) = context.checkpoints {
                    checkpoints.end(&sources);
                }
            }
            sources.refuse_none()
        };
        let default = Writing::of(context.repo);
        let zstd_level = options.zstd_level.unwrap_or(default.zstd_level);
        let BackupOptions { dry_run, deltas, old_bytes, .. } = *options;
        let writing = Writing { zstd_level, dry_run, deltas, old_bytes };
        if writing.lacks_old_bytes(context.repo) {
            let what = "there is no cache to take old bytes from: what has changed is stored whole";
            self.observer.event(Event::Note(what));
        }
        let written = write(context.repo, context.known, stored, writing, work)?.1;
        context.repo.tell_cache_notes(self.observer);
        sources.totals.data_added = written.data_added;
        sources.totals.data_stored = written.stored;
        Ok(sources)
    }

    /// One moment for the databases that are sources of their own.
    fn fix_moment(&self, context: Context<'_>, options: &BackupOptions) {
        let (Some(moment), Some(sqlite)) = (context.moment, context.sqlite) else { return };
        let named = options.sources.iter().filter_map(|asked| match asked {
            SourceOptions::Sqlite(DatabaseSource { found: Ok(path), .. }) => Some(path.clone()),
            _ => None,
        });
        let folder = context.repo.cache_folder();
        moment.fix(named.collect(), (sqlite, folder.as_deref()), self.observer);
    }

    /// A snapshot of this run without what its sources give.
    fn blank(&self, view: &View, damage: &Damage, options: &BackupOptions) -> Snapshot {
        Snapshot {
            sid: self.sid,
            seq: 0,
            generation: view.highest(),
            state: SnapshotState::Complete,
            host: options.host.clone(),
            job: self.job.clone(),
            tags: options.tags.clone(),
            started_ns: self.started_ns,
            finished_ns: self.started_ns,
            tool: options.tool.clone(),
            author: self.repo.author().host(),
            ring: self.repo.ring(),
            head: view.head(),
            bad_seen: damage.bad.clone(),
            totals: Totals::default(),
            sources: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn summary(&self, sources: &Sources, object: Option<SnapshotRef>) -> BackupSummary {
        BackupSummary {
            snapshot_id: object.map(|object| object.sid),
            parent: sources.list.iter().find_map(|source| source.parent).map(|parent| parent.sid),
            partial: sources.is_partial(),
            errors: sources.errors,
            damaged: sources.damaged(),
            totals: sources.totals,
            directories: sources.directories,
            started_ns: self.started_ns,
            finished_ns: self.repo.clock().now_ns(),
        }
    }
}
