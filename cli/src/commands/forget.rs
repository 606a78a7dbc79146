use std::collections::{BTreeMap, HashSet};

use coffer_engine::error::Kind;
use coffer_engine::maintain::{self, ForgetPlan, Listed, Policy};
use coffer_engine::model::SnapshotState;
use coffer_engine::observe::Silent;
use coffer_engine::repo::Repository;
use jiff::tz::TimeZone;

use super::{Context, prune, to_filter};
use crate::args::{ForgetArgs, KeepArgs};
use crate::exit::{Failure, Result};
use crate::output::retention::Group;
use crate::output::{Stdout, json, stderr_line, units};

/// Forgets snapshots by a rule or by name, or puts them back.
///
/// # Errors
/// Usage without either; those of opening, reading and writing the repository.
pub fn run(context: &Context, args: &ForgetArgs) -> Result<()> {
    let policy = policy(&args.keep);
    if args.snapshots.is_empty() && policy.is_empty() {
        return Err(Failure::usage("there is nothing to forget by")
            .hint("give snapshots by their ids, or a rule of what to keep, as in --keep-daily 7"));
    }
    if args.undo && args.snapshots.iter().any(|name| name == "latest") {
        let what = "what is forgotten has no `latest`: give the first digits of its id";
        return Err(Failure::usage(what));
    }
    let repository = context.open()?;
    if args.undo {
        return undo(context, &repository, &args.snapshots);
    }
    let plan = plan(context, &repository, args, &policy)?;
    let all: Vec<Listed> = plan.forgotten.iter().chain(&plan.checkpoints).cloned().collect();
    let groups = groups(&repository, &plan)?;
    if !args.dry_run && !all.is_empty() {
        maintain::forget(&repository, &all, &context.watcher())?;
    }
    tell(context, args, &groups)?;
    if !args.prune {
        return Ok(());
    }
    let mut options = prune::options(&args.pruning, args.dry_run);
    options.as_if_forgotten = all.iter().map(|listed| listed.sid).collect();
    prune::prune(context, &repository, &options)
}

/// The rule that was asked for.
pub(super) fn policy(keep: &KeepArgs) -> Policy {
    let count = |count: Option<u64>| count.unwrap_or(0);
    Policy {
        last: count(keep.keep_last),
        within: keep.keep_within,
        minutely: count(keep.keep_minutely),
        hourly: count(keep.keep_hourly),
        daily: count(keep.keep_daily),
        weekly: count(keep.keep_weekly),
        monthly: count(keep.keep_monthly),
        yearly: count(keep.keep_yearly),
        tags: keep.keep_tag.clone(),
        zone: TimeZone::system(),
    }
}

/// What the rule or the names mean.
fn plan(
    context: &Context,
    repository: &Repository,
    args: &ForgetArgs,
    policy: &Policy,
) -> Result<ForgetPlan> {
    let (filter, watcher) = (to_filter(&args.filter), context.watcher());
    if args.snapshots.is_empty() {
        return Ok(maintain::forget_plan(repository, policy, &filter, &watcher)?);
    }
    let named = maintain::forget_named(repository, &args.snapshots, &filter, &watcher);
    let named = named.map_err(|error| {
        let is_missing = error.kind() == Kind::NotFound;
        let failure = Failure::from(error);
        if is_missing {
            failure.hint("`coffer snapshots --all` lists what there is")
        } else {
            failure
        }
    })?;
    let is_checkpoint = |it: &Listed| it.state == Some(SnapshotState::Incomplete);
    let (checkpoints, forgotten) = named.into_iter().partition(is_checkpoint);
    Ok(ForgetPlan { kept: Vec::new(), forgotten, checkpoints })
}

/// The plan by host and job, and how many snapshots each has afterwards.
fn groups<'p>(repository: &Repository, plan: &'p ForgetPlan) -> Result<Vec<Group<'p>>> {
    // What is damaged was told when the plan was made.
    let listed = repository.snapshots(false, &Silent)?;
    let mut groups: BTreeMap<(&str, &str), Group<'p>> = BTreeMap::new();
    let mut group = |listed: &'p Listed, add: &dyn Fn(&mut Group<'p>)| {
        let (host, job) = (listed.host.as_str(), listed.job.as_str());
        let new = || Group { host, job, ..Group::default() };
        add(groups.entry((host, job)).or_insert_with(new));
    };
    for kept in &plan.kept {
        group(&kept.snapshot, &|group| group.kept.push(kept));
    }
    for listed in &plan.forgotten {
        group(listed, &|group| group.forgotten.push(listed));
    }
    for listed in &plan.checkpoints {
        group(listed, &|group| group.checkpoints.push(listed));
    }
    let gone: HashSet<_> = plan.forgotten.iter().map(|listed| listed.sid).collect();
    for (_, snapshot) in &listed {
        let group = groups.get_mut(&(snapshot.host.as_str(), snapshot.job.as_str()));
        if let Some(group) = group.filter(|_| !gone.contains(&snapshot.sid)) {
            group.left += 1;
        }
    }
    Ok(groups.into_values().collect())
}

fn tell(context: &Context, args: &ForgetArgs, groups: &[Group<'_>]) -> Result<()> {
    let mut out = Stdout::new()?;
    if context.global.json {
        for group in groups {
            out.json(&json::GroupLine::new(group))?;
        }
        out.json(&json::ForgetLine::new(groups, args.dry_run))?;
    } else if !context.global.quiet || args.dry_run {
        for group in groups {
            out.line(&group.text())?;
            out.line("")?;
        }
        out.line(&last_line(groups, args.dry_run))?;
    }
    out.finish()?;
    for group in groups.iter().filter(|it| it.left == 0 && !it.forgotten.is_empty()) {
        if !group.host.is_empty() {
            note(context, &format!("{} has no other snapshot", group.name()));
        }
    }
    Ok(())
}

fn last_line(groups: &[Group<'_>], dry_run: bool) -> String {
    let snapshots: usize = groups.iter().map(|group| group.forgotten.len()).sum();
    let checkpoints: usize = groups.iter().map(|group| group.checkpoints.len()).sum();
    if snapshots + checkpoints == 0 {
        return "nothing to forget".into();
    }
    let mut what = units::count(snapshots as u64, "snapshot", "snapshots");
    if checkpoints > 0 {
        let count = units::count(checkpoints as u64, "checkpoint", "checkpoints");
        what.push_str(&format!(" and {count}"));
    }
    if dry_run {
        return format!("{what} would be forgotten; this was a dry run");
    }
    format!("{what} forgotten")
}

fn note(context: &Context, what: &str) {
    if context.global.json {
        crate::output::stderr_json(&json::Message { message_type: "note", message: what });
    } else if !context.global.quiet {
        stderr_line(&format!("coffer: note: {what}"));
    }
}

fn undo(context: &Context, repository: &Repository, names: &[String]) -> Result<()> {
    let sids = maintain::undo_forget(repository, names)?;
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&json::ForgetUndoLine::new(&sids))?;
    } else if !context.global.quiet {
        for sid in &sids {
            out.line(&format!("snapshot {} is back", json::short(&sid.to_string())))?;
        }
    }
    out.finish()
}
