use coffer_engine::model::Snapshot;
use coffer_engine::repo::sources_of;

use super::Context;
use crate::args::LsArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::{Stdout, escape, json, stderr_line, table};

/// Lists what a snapshot holds.
///
/// # Errors
/// Fails if the path is not in the snapshot.
pub fn run(context: &Context, args: &LsArgs) -> Result<()> {
    let repository = context.open()?;
    let snapshot = context.select(&repository, &args.from.snapshot, &args.filter)?;
    if args.facts {
        return tell_facts(context, &snapshot);
    }
    let reader = repository.reader(&context.watcher())?;
    let mut out = Stdout::new()?;
    if context.global.json {
        let mut line = json::SnapshotLine::new(&snapshot);
        (line.message_type, line.struct_type) = (Some("snapshot"), Some("snapshot"));
        out.json(&line)?;
    }
    let (mut found, mut sealed) = (false, false);
    let mut sources = Vec::new();
    for source in sources_of(&snapshot, args.source.as_deref())? {
        if source.root.is_none() {
            tell_missing(context, source.name.as_str(), "failed and has no entries");
            continue;
        }
        if !repository.may_read(source) {
            tell_missing(
                context,
                source.name.as_str(),
                "holds secrets, which this key may not read",
            );
            sealed = true;
            continue;
        }
        sources.push(source);
    }
    let mut told = Ok(());
    reader.entries(&sources, &args.from.path, &mut |source, entry| {
        if context.interrupt.is_set() {
            told = Err(Failure::interrupted());
            return Ok(false);
        }
        found = true;
        told = if context.global.json {
            out.json(&json::NodeLine::new(&entry, &source.name))
        } else if args.long {
            out.line(&table::long_entry(&entry))
        } else {
            out.line(&escape::path(entry.path.as_bytes()))
        };
        Ok(told.is_ok())
    })?;
    told?;
    out.finish()?;
    if !found && sealed {
        return Err(sealed_away());
    }
    if found || args.from.path.is_empty() {
        return Ok(());
    }
    Err(not_there(&snapshot, &args.from.path))
}

/// Tells what the snapshot's sources are, without reading what they hold.
fn tell_facts(context: &Context, snapshot: &Snapshot) -> Result<()> {
    let mut out = Stdout::new()?;
    if context.global.json {
        let mut line = json::SnapshotLine::new(snapshot);
        (line.message_type, line.struct_type) = (Some("snapshot"), Some("snapshot"));
        out.json(&line)?;
    } else {
        out.line(&table::snapshots(&[snapshot]))?;
        out.line(&table::sources(snapshot))?;
    }
    out.finish()
}

/// What is asked for may be among secrets, which the key in use may not read.
#[must_use]
pub fn sealed_away() -> Failure {
    let message =
        "it is not in what this key may read, and the key may not read the secrets of the snapshot";
    Failure::new(Code::Refused, message)
        .hint("use a key that may read secrets: `coffer key list` tells which")
}

fn tell_missing(context: &Context, source: &str, why: &str) {
    if !context.global.json && !context.global.quiet {
        let shown = escape::text(source);
        stderr_line(&format!("coffer: note: source {shown} {why}"));
    }
}

/// `path` is not in `snapshot`.
#[must_use]
pub fn not_there(snapshot: &Snapshot, path: &[u8]) -> Failure {
    let id = snapshot.sid.to_string();
    let message = format!("{} is not in snapshot {}", escape::path(path), json::short(&id));
    Failure::new(Code::Failed, message).hint("`coffer ls SNAP` lists what is in it")
}
