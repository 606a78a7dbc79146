//! What the sources of a run gave.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::ffi::OsStrExt;

use super::assemble::Captured;
use super::capture::Context;
use super::parent::Parent;
use super::{DatabaseSource, SourceOptions, job};
use crate::error::{Error, Kind, Result, SourceError};
use crate::limits;
use crate::manifest::{self, Names, Start};
use crate::model::{ChunkId, NodeRef, ParentRef, Source, SourceStatus, Totals};
use crate::observe::{Event, Observer};
use crate::source::stream::{Input, StreamSource};

/// Bytes of facts from which on those of single tables are left out: the rest has room in a snapshot.
const FACTS_LEN_MAX: usize = 4 << 20;

/// What the sources gave, ready for a snapshot.
#[derive(Clone, Default)]
pub(super) struct Sources {
    pub list: Vec<Source>,
    pub totals: Totals,
    pub directories: u64,
    pub errors: u64,
    /// Bytes of what was measured.
    facts_len: usize,
    /// Sources that are what the last snapshot has of them.
    same_count: usize,
    /// The snapshots that they are in.
    same_in: BTreeSet<ParentRef>,
}

impl Sources {
    /// True if there is one snapshot that has every source that could be read, as it is.
    pub(super) fn is_same(&self) -> bool {
        let failed = self.list.iter().filter(|source| source.status == SourceStatus::Failed);
        self.same_in.len() == 1 && self.same_count + failed.count() == self.list.len()
    }

    /// True if something asked for is missing.
    pub(super) fn is_partial(&self) -> bool {
        self.errors > 0 || self.list.iter().any(|source| source.status == SourceStatus::Failed)
    }

    /// Databases that are stored as they are, and damaged.
    pub(super) fn damaged(&self) -> u64 {
        let is_damaged = |it: &&Source| {
            it.kind == "sqlite" && it.status == SourceStatus::Complete && it.errors > 0
        };
        self.list.iter().filter(is_damaged).count() as u64
    }

    /// Refuses what holds nothing.
    ///
    /// # Errors
    /// `NotFound` when every source failed; it tells why the first did.
    pub(super) fn refuse_none(&self) -> Result<()> {
        if self.list.iter().any(|source| source.status != SourceStatus::Failed) {
            return Ok(());
        }
        let why = self.list.iter().find_map(|source| source.message.as_deref());
        let others = match self.list.len() {
            0 | 1 => String::new(),
            count => format!(", and {} more", count - 1),
        };
        let what = format!("no source could be read: {}{others}", why.unwrap_or("there is none"));
        Err(Error::new(Kind::NotFound, format!("{what}; nothing is listed")))
    }

    /// Adds the last of `other`, which has one more.
    pub(super) fn follow(&mut self, other: &Self) {
        self.list.extend(other.list.last().cloned());
        (self.totals, self.directories) = (other.totals, other.directories);
        self.errors = other.errors;
    }

    /// Adds what was measured; of tables one by one as long as the snapshot has room for it.
    fn add_facts(&mut self, source: &mut Source, facts: BTreeMap<String, String>) {
        let mut left_out = 0_u64;
        for (name, value) in facts {
            self.facts_len += name.len() + value.len();
            if name.starts_with("table ") && self.facts_len > FACTS_LEN_MAX {
                left_out += 1;
            } else {
                source.facts.insert(name, value);
            }
        }
        if left_out > 0 {
            source.facts.insert("tables left out".to_owned(), left_out.to_string());
        }
    }

    /// Counts the source that was added last if it is a database of the same pages as in its parent, of which no
    /// more, and no less, is known to be wrong.
    pub(super) fn note_same(&mut self, parents: &[Parent]) {
        let [parent] = parents else { return };
        let pages = |facts: &BTreeMap<String, String>| facts.get("blake3").cloned();
        let is_same = self.list.last().is_some_and(|source| {
            source.kind == "sqlite"
                && source.errors == parent.errors
                && pages(&source.facts).is_some_and(|now| Some(now) == pages(&parent.facts))
        });
        if parent.is_whole && is_same {
            self.same_count += 1;
            self.same_in.insert(parent.reference);
        }
    }

    /// Adds a source with what became of it.
    pub(super) fn add(
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
                // Which paths are secret is for class S alone.
                let is_secret = source.kind == "secrets";
                let message = if is_secret { problem.what.clone() } else { problem.to_string() };
                source.message = Some(message);
            }
            // All roots unreadable: there is no recovery point in an empty manifest.
            Ok(captured) if captured.entries == 0 && captured.errors > 0 => {
                self.errors += captured.errors;
                source.status = SourceStatus::Failed;
                let problem = captured.problem.filter(|_| source.kind == "sqlite");
                let nothing = || "nothing could be read".to_owned();
                source.message = Some(problem.map_or_else(nothing, |it| it.to_string()));
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
                (source.s_data_ids, source.s_node_ids) = captured.secret_ids;
                source.entries = captured.entries;
                source.bytes = captured.bytes;
                source.errors = captured.errors;
                self.add_facts(&mut source, captured.facts);
                if captured.changed > 0 {
                    let changed = captured.changed.to_string();
                    source.facts.insert("changed_while_read".to_owned(), changed);
                }
            }
        }
        self.list.push(source);
    }
}

/// A source as the snapshot tells it, before anything was read.
pub(super) fn blank(asked: &SourceOptions, watched: bool) -> Source {
    let (roots, profile) = match asked {
        SourceOptions::Tree { options, .. } => (job::roots(options), "tree"),
        SourceOptions::Sqlite(database) => {
            (vec![database.path().as_os_str().as_bytes().to_vec()], "sqlite")
        }
        SourceOptions::Stream(_) => (Vec::new(), "dump"),
        // Which paths are secret is for class S alone.
        SourceOptions::Secrets(_) => (Vec::new(), "tree"),
    };
    let mark = |watched_as: Cow<'_, str>| (Source::WATCHED.to_owned(), watched_as.into_owned());
    Source {
        kind: asked.kind().to_owned(),
        name: asked.name().into_owned(),
        roots,
        status: SourceStatus::Complete,
        message: None,
        errors: 0,
        root: None,
        entries: 0,
        bytes: 0,
        profile: profile.to_owned(),
        parent: None,
        facts: asked.watched_as().next().filter(|_| watched).map(mark).into_iter().collect(),
        s_data_ids: None,
        s_node_ids: None,
    }
}

/// True if the source cannot be read again.
pub(super) fn is_taken(asked: &SourceOptions) -> bool {
    matches!(asked, SourceOptions::Stream(StreamSource { input: Input::Taken, .. }))
}

/// Refuses a run without sources, or with two of one name.
pub(super) fn check_names(sources: &[SourceOptions]) -> Result<()> {
    if sources.is_empty() {
        return Err(Error::new(Kind::Input, "nothing to back up: give a path or a stream"));
    }
    let count_max = limits::SNAPSHOT_SOURCE_COUNT_MAX;
    if sources.len() > count_max {
        let what = format!("{} sources; a snapshot holds at most {count_max}", sources.len());
        return Err(Error::new(Kind::Input, what));
    }
    let mut names = HashSet::new();
    match sources.iter().find(|source| !names.insert(source.name())) {
        None => Ok(()),
        Some(twice) => {
            let what = format!("two sources are named `{}`: give them other names", twice.name());
            Err(Error::new(Kind::Input, what))
        }
    }
}

/// Leaves out of every tree what other sources have: secrets, and databases with the files beside
/// them, which may be made anew at any time. A database that a pattern found is left to the secrets.
pub(super) fn claim(sources: &mut Vec<SourceOptions>) {
    let mut claimed = Vec::new();
    for source in &*sources {
        if let SourceOptions::Secrets(secrets) = source {
            claimed.extend(secrets.claimed());
        }
    }
    sources.retain(|source| match source {
        SourceOptions::Sqlite(DatabaseSource { found: Ok(path), .. }) => {
            !claimed.iter().any(|claimed| path.starts_with(claimed))
        }
        _ => true,
    });
    let database = |source: &SourceOptions| match source {
        SourceOptions::Sqlite(database) => database.found.as_ref().ok().cloned(),
        _ => None,
    };
    let databases: Vec<_> = sources.iter().filter_map(database).collect();
    for source in sources {
        if let SourceOptions::Tree { options, .. } = source {
            options.claimed.clone_from(&claimed);
            options.databases.clone_from(&databases);
        }
    }
}

/// Where everything that a source needs begins.
fn starts(source: &Source) -> impl Iterator<Item = Start> {
    let lists = [source.s_data_ids, source.s_node_ids].into_iter().flatten().map(Start::Content);
    source.root.map(Start::Manifest).into_iter().chain(lists)
}

/// True if everything the sources need resolves in packs that may be relied on.
pub(super) fn closure_is_stored(context: Context<'_>, sources: &Sources) -> Result<bool> {
    let get = |node: &NodeRef| context.reader.node(node);
    for start in sources.list.iter().flat_map(starts) {
        let mut whole = true;
        let mut seen: HashSet<ChunkId> = HashSet::new();
        let walked = manifest::walk_references(start, &get, &mut |node, names| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Silent;
    use crate::source::stream::{Input, StreamSource};

    #[test]
    fn facts_of_single_tables_are_left_out_before_a_snapshot_has_no_room() {
        let input = Input::Command("true".to_owned());
        let asked = SourceOptions::Stream(StreamSource { name: "any".to_owned(), input });
        let mut sources = Sources::default();
        for _ in 0..1000 {
            let tables =
                (0..200).map(|number| (format!("table {number:0100}"), "rows=1".repeat(20)));
            let facts = tables.chain([("rows".to_owned(), "1".to_owned())]).collect();
            let captured = Captured { entries: 1, facts, ..Captured::default() };
            sources.add(blank(&asked, false), Ok(captured), &Silent);
        }
        let len = |source: &Source| -> usize {
            source.facts.iter().map(|(name, value)| name.len() + value.len()).sum()
        };
        assert!(sources.list.iter().map(len).sum::<usize>() < FACTS_LEN_MAX + (1 << 20));
        let last = &sources.list[999].facts;
        assert_eq!((last["rows"].as_str(), last["tables left out"].as_str()), ("1", "200"));
        assert!(sources.list[0].facts.len() == 201);
    }
}
