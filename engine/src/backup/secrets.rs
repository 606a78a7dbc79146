//! Captures secrets: everything in class S, nothing of it told.

use std::collections::BTreeMap;

use super::SourceOptions;
use super::assemble::{Assembler, Captured};
use super::capture::Context;
use super::merge::is_unchanged;
use super::parent::Parent;
use super::read::{Output, Reading};
use crate::error::{Error, Kind, Result, SourceError};
use crate::manifest::{ContentWriter, Entries};
use crate::model::{ChunkId, Class, Content, Entry, EntryKind, EntryPath, NodeRef, Time};
use crate::observe::{Action, Event, Observer, Progress};
use crate::repo::{ChunkWriter, Repository, cut};
use crate::source::secrets::{Secret, SecretsSource};

/// Refuses secrets where the key in use may not read them.
///
/// # Errors
/// `Refused`: what it stores it could not compare next time.
pub(super) fn check_key(repo: &Repository, sources: &[SourceOptions]) -> Result<()> {
    let has_secrets = sources.iter().any(|it| matches!(it, SourceOptions::Secrets(_)));
    if has_secrets && !repo.keyring().has_secrets() {
        let what = "the key in use may not read secrets, so it cannot store any: use a key that \
                    may (`coffer key list` tells which), or leave the secrets out with --exclude";
        return Err(Error::new(Kind::Refused, what));
    }
    Ok(())
}

/// Captures secrets. They are few, and always read: what is equal is not stored again.
pub(super) fn capture<'r>(
    context: Context<'r>,
    writer: &mut ChunkWriter<'r>,
    source: &mut SecretsSource,
    parent: Option<&Parent>,
) -> Result<std::result::Result<Captured, SourceError>> {
    let now_ns = context.repo.clock().now_ns();
    let observer = context.observer;
    let is_stopped = || observer.is_interrupted();
    let own = context.repo.own_folders();
    let read = match source.read(own, context.sqlite, time(now_ns), &is_stopped) {
        Ok(read) => read,
        Err(problem) => return Ok(Err(problem)),
    };
    let before = parent.map(|parent| entries(context, parent)).unwrap_or_default();
    let reading = context.reading(Class::S)?;
    let quiet = Quiet(observer);
    let cut_key = context.repo.keyring().page_cut_key();
    let mut assembler = Assembler::new(writer, &quiet, Class::S, cut_key, Progress::default());
    for secret in read.list.into_values() {
        store(&mut assembler, &reading, secret, &before, now_ns)?;
    }
    let mut captured = assembler.finish()?;
    if captured.errors > 0 {
        let what = format!("{} of its entries cannot be stored", captured.errors);
        observer.event(Event::SourceProblem(&SourceError::new(source.name.as_bytes(), what)));
    }
    for problem in &read.problems {
        captured.errors += 1;
        observer.event(Event::SourceProblem(problem));
    }
    captured.secret_ids = lists(writer)?;
    Ok(Ok(captured))
}

fn store(
    assembler: &mut Assembler<'_, '_>,
    reading: &Reading<'_>,
    secret: Secret,
    before: &BTreeMap<EntryPath, Entry>,
    now_ns: i64,
) -> Result<()> {
    let Secret { entry, bytes, changed } = secret;
    let bytes = bytes.as_bytes();
    let mut chunks = Vec::new();
    cut((reading.keyring, Class::S), &reading.tree, bytes, true, &mut chunks)?;
    let action = match before.get(&entry.path) {
        None => Action::New,
        Some(known) if is_unchanged(&entry, known) || is_equal(known, &chunks) => {
            Action::Unmodified
        }
        Some(_) => Action::Changed,
    };
    let (mut entry, mut extra) = reading.finish(entry, now_ns);
    entry.racy |= changed;
    extra.changed = changed;
    let output = match entry.kind {
        EntryKind::File { .. } => {
            Output::File { entry, action, extra, chunks: chunks.len(), large: false }
        }
        _ => Output::Ready(*entry, action, extra),
    };
    assembler.take_one(output, bytes, &chunks)
}

/// True if a file of the parent has this content.
fn is_equal(known: &Entry, chunks: &[(ChunkId, u32)]) -> bool {
    let EntryKind::File { content: Content::Chunks(ids), .. } = &known.kind else { return false };
    ids.iter().map(|node| node.id).eq(chunks.iter().map(|(id, _)| *id))
}

/// The parent's entries, to tell what is new. A parent that cannot be read costs no more than that.
fn entries(context: Context<'_>, parent: &Parent) -> BTreeMap<EntryPath, Entry> {
    let get = |node: &NodeRef| context.reader.node(node);
    let entries = Entries::all(&parent.root, &get).map_while(std::result::Result::ok);
    entries.map(|entry| (entry.path.clone(), entry)).collect()
}

/// Writes the lists of ids that marks and checks go by without the keys of class S.
fn lists(writer: &mut ChunkWriter<'_>) -> Result<(Option<NodeRef>, Option<NodeRef>)> {
    let ids = writer.take_secret_ids();
    let mut list = |ids: BTreeMap<ChunkId, u32>| {
        let mut content = ContentWriter::new(Class::Ordinary);
        for (id, len) in ids {
            let node = NodeRef { id, class: Class::S, height: 0 };
            content.push(node, len.into(), &mut |class, node| writer.put_node(class, &node))?;
        }
        content.finish_list(&mut |class, node| writer.put_node(class, &node))
    };
    Ok((list(ids.data)?, list(ids.nodes)?))
}

fn time(now_ns: i64) -> Time {
    Time {
        secs: now_ns.div_euclid(1_000_000_000),
        nanos: u32::try_from(now_ns.rem_euclid(1_000_000_000)).unwrap_or_default(),
    }
}

/// Tells how far the work is, and nothing of single entries.
struct Quiet<'o>(&'o dyn Observer);

impl Observer for Quiet<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Progress(_) = event {
            self.0.event(event);
        }
    }

    fn is_interrupted(&self) -> bool {
        self.0.is_interrupted()
    }
}
