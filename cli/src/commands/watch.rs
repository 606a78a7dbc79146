use std::cell::Cell;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coffer_engine::backup::{BackupOptions, BackupSummary, RACY_WINDOW_NS, SourceOptions};
use coffer_engine::error::{Error, Kind};
use coffer_engine::maintain::Policy;
use coffer_engine::observe::{Event, Observer};
use coffer_engine::repo::{OldBytes, Repository};
use coffer_engine::source::sqlite::Clients;
use coffer_engine::watch::{Thinning, WatchOptions, watch};

use super::{Context, databases, forget, prune};
use crate::args::WatchArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::{Stdout, json, units};
use crate::process;

/// Makes a snapshot of databases whenever they change.
///
/// # Errors
/// Ends with 130 when interrupted; with others as a backup does, but for what may pass.
pub fn run(context: &Context, args: &WatchArgs) -> Result<()> {
    // Mistakes are told before a password is asked for.
    databases::refuse_none(&databases::find(&args.databases)?)?;
    let old_bytes = context.settings()?.old_bytes(args.old_bytes, &context.environment)?;
    let mut options = WatchOptions {
        poll: args.poll,
        interval: args.interval,
        check_interval: args.check_interval,
        count_max: args.count,
        thinning: (!args.keep_all).then(|| thinning(args)),
    };
    let clients = Arc::new(Clients::default());
    let mut make = || {
        let found = databases::find(&args.databases)
            .map_err(|failure| Error::new(Kind::Input, failure.message))?;
        let sources = found.into_iter().map(SourceOptions::Sqlite).collect();
        Ok(BackupOptions { old_bytes, ..backup_options(args, sources, &clients) })
    };
    let (mut told, mut partial_count) = (Ok(()), 0);
    let count = Cell::new(0);
    let mut tell = |summary: &BackupSummary| {
        count.set(count.get() + 1);
        partial_count += u64::from(summary.partial);
        if told.is_ok() {
            told = tell_snapshot(context, summary);
        }
    };
    let watcher = context.watcher();
    let mut repository = context.open()?;
    loop {
        match watch(&repository, &options, &mut make, &watcher, &mut tell) {
            Err(error) if error.kind() == Kind::NewRing => {
                watcher.event(Event::Note("the repository's keys were changed: opening it anew"));
                options.count_max = args.count.map(|max| max.saturating_sub(count.get()));
                repository = open_again(context, &watcher)?;
            }
            ended => {
                ended?;
                return outcome(partial_count).and(told);
            }
        }
    }
}

/// Opens the repository as at first; what may pass is waited for.
fn open_again(context: &Context, observer: &dyn Observer) -> Result<Repository> {
    loop {
        match context.open() {
            Err(failure) if matches!(failure.code, Code::Failed | Code::NoRepository) => {
                observer.event(Event::Warning(&format!("{failure}; trying again in 10 s")));
                for _ in 0..100 {
                    if observer.is_interrupted() {
                        return Err(failure);
                    }
                    thread::sleep(Duration::from_millis(100));
                }
            }
            opened => return opened,
        }
    }
}

fn outcome(partial_count: u64) -> Result<()> {
    if partial_count == 0 {
        return Ok(());
    }
    let message = format!(
        "{} partial: a database could not be read, or is damaged",
        units::count(partial_count, "snapshot is", "snapshots are")
    );
    Err(Failure::new(Code::Partial, message).hint("the warnings above name the databases"))
}

/// The rule that was asked for, or one for seconds that pass into years.
fn thinning(args: &WatchArgs) -> Thinning {
    let asked = forget::policy(&args.keep);
    let usual = Policy {
        within: Some(Duration::from_secs(3600)),
        minutely: 360,
        hourly: 168,
        daily: 31,
        monthly: 12,
        zone: asked.zone.clone(),
        ..Policy::default()
    };
    let policy = if asked.is_empty() { usual } else { asked };
    let prune = prune::options(&args.pruning, false);
    Thinning { policy, batch: args.thin_after, prune }
}

fn backup_options(
    args: &WatchArgs,
    sources: Vec<SourceOptions>,
    clients: &Arc<Clients>,
) -> BackupOptions {
    BackupOptions {
        sources,
        sqlite: Some(databases::reading(&args.reading, Arc::clone(clients))),
        host: args.host.clone().unwrap_or_else(process::host_name),
        job: args.job.clone(),
        tags: args.tag.iter().filter(|tag| !tag.is_empty()).cloned().collect(),
        force: false,
        dry_run: false,
        checkpoint_interval: None,
        secret_scan: false,
        deltas: true,
        old_bytes: OldBytes::default(),
        watched: true,
        zstd_level: args.compression.level(),
        racy_window_ns: RACY_WINDOW_NS,
        tool: concat!("coffer ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

fn tell_snapshot(context: &Context, summary: &BackupSummary) -> Result<()> {
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&json::BackupLine::new(summary, false))?;
    } else if !context.global.quiet {
        let id = summary.snapshot_id.map(|id| id.to_string()).unwrap_or_default();
        out.line(&format!(
            "{} snapshot {} of {}, {} new, {} stored, in {}{}",
            units::local_time(summary.started_ns),
            json::short(&id),
            units::bytes(summary.totals.bytes),
            units::bytes(summary.totals.data_added),
            units::bytes(summary.totals.data_stored),
            units::duration(summary.duration()),
            if summary.partial { ", partial" } else { "" }
        ))?;
    }
    out.finish()
}
