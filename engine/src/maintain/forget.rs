//! Forget: take snapshots out of the list, by a rule or by name, and put them back.

use std::collections::{BTreeMap, HashSet};

use super::keep::{Candidate, Policy, Reason};
use crate::error::{Error, Kind, Result};
use crate::model::{ForgottenObject, SnapshotId, SnapshotRef, SnapshotState};
use crate::observe::{Event, Observer};
use crate::repo::{Filter, Head, Repository};

/// Shortest id prefix that is taken, in digits.
const PREFIX_LEN_MIN: usize = 4;

/// A snapshot as forgetting sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub sid: SnapshotId,
    pub host: String,
    pub job: String,
    pub tags: Vec<String>,
    pub started_ns: i64,
    /// None if its object is damaged.
    pub state: Option<SnapshotState>,
    /// All its objects.
    pub objects: Vec<ForgottenObject>,
}

/// A snapshot that stays, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub snapshot: Listed,
    pub reasons: Vec<Reason>,
}

/// What a rule keeps and forgets, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForgetPlan {
    pub kept: Vec<Kept>,
    pub forgotten: Vec<Listed>,
    /// Checkpoints of interrupted runs that a newer whole snapshot of their job has replaced.
    pub checkpoints: Vec<Listed>,
}

/// Decides by a rule, for each host and job by itself, about the snapshots that `filter` matches.
///
/// # Errors
/// `Input` if the rule would keep nothing; those of the store. A damaged snapshot is told and kept, and so is one that is
/// later than it is now.
pub fn plan(
    repo: &Repository,
    policy: &Policy,
    filter: &Filter,
    observer: &dyn Observer,
) -> Result<ForgetPlan> {
    let is_meant = |head: &Head| filter.matches_of(&head.host, &head.job, &head.tags);
    plan_where(repo, policy, &is_meant, observer)
}

/// Decides by a rule, for each host and job by itself, about the snapshots that `is_meant` picks.
///
/// # Errors
/// As [`plan`].
pub fn plan_where(
    repo: &Repository,
    policy: &Policy,
    is_meant: &dyn Fn(&Head) -> bool,
    observer: &dyn Observer,
) -> Result<ForgetPlan> {
    if policy.is_empty() {
        let what = "the rule keeps nothing: say what to keep, as in --keep-daily 7";
        return Err(Error::new(Kind::Input, what));
    }
    let mut groups: BTreeMap<(String, String), Vec<Listed>> = BTreeMap::new();
    for listed in list(repo, is_meant, observer)? {
        if listed.state.is_some() {
            groups.entry((listed.host.clone(), listed.job.clone())).or_default().push(listed);
        }
    }
    let mut plan = ForgetPlan::default();
    for mut group in groups.into_values() {
        group.sort_by_key(|it| (it.started_ns, it.sid));
        decide(policy, group, repo.clock().now_ns(), &mut plan);
    }
    for kept in plan.kept.iter().filter(|kept| kept.reasons.contains(&Reason::Future)) {
        let what = format!(
            "snapshot {} is later than it is now, so that a clock is or was wrong: it is kept, and no rule counts it",
            kept.snapshot.sid
        );
        observer.event(Event::Note(&what));
    }
    Ok(plan)
}

/// Decides about the snapshots of one host and job, oldest first.
fn decide(policy: &Policy, group: Vec<Listed>, now_ns: i64, plan: &mut ForgetPlan) {
    let is_whole = |it: &Listed| it.state == Some(SnapshotState::Complete);
    let past_whole = |it: &&Listed| is_whole(it) && it.started_ns <= now_ns;
    let newest_whole = group.iter().rev().find(past_whole).map(|it| it.started_ns);
    let is_checkpoint = |it: &Listed| it.state == Some(SnapshotState::Incomplete);
    let (checkpoints, snapshots): (Vec<_>, Vec<_>) = group.into_iter().partition(is_checkpoint);
    let is_replaced = |it: &Listed| newest_whole.is_some_and(|newest| newest > it.started_ns);
    plan.checkpoints.extend(checkpoints.into_iter().filter(is_replaced));
    let candidate = |it: &Listed| Candidate {
        sid: it.sid,
        started_ns: it.started_ns,
        is_whole: is_whole(it),
        tags: it.tags.clone(),
    };
    let candidates: Vec<Candidate> = snapshots.iter().map(candidate).collect();
    for (snapshot, reasons) in snapshots.into_iter().zip(policy.reasons(&candidates, now_ns)) {
        if reasons.is_empty() {
            plan.forgotten.push(snapshot);
        } else {
            plan.kept.push(Kept { snapshot, reasons: reasons.into_iter().collect() });
        }
    }
}

/// The snapshots that `names`, prefixes of ids or `latest`, mean, to be forgotten; damaged ones and checkpoints too.
///
/// # Errors
/// `NotFound` when nothing matches, `Input` when a prefix is too short or matches several.
pub fn named(
    repo: &Repository,
    names: &[String],
    filter: &Filter,
    observer: &dyn Observer,
) -> Result<Vec<Listed>> {
    let all = list(repo, &|_| true, observer)?;
    let mut chosen: Vec<Listed> = Vec::new();
    for name in names {
        let found = if name == "latest" {
            let (_, snapshot) = repo.select(name, filter, observer)?;
            all.iter().find(|listed| listed.sid == snapshot.sid)
        } else {
            let matching = |listed: &Listed| listed.sid.to_string().starts_with(name.as_str());
            one_of(name, all.iter().filter(|listed| matching(listed)))?
        };
        let absent = || Error::new(Kind::NotFound, format!("no snapshot has the id {name}"));
        let listed = found.ok_or_else(absent)?;
        if !chosen.contains(listed) {
            chosen.push(listed.clone());
        }
    }
    Ok(chosen)
}

/// The only one of `matching`, which have ids that begin with `name`.
fn one_of<T>(name: &str, mut matching: impl Iterator<Item = T>) -> Result<Option<T>> {
    let hex = name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if name.len() < PREFIX_LEN_MIN || !hex {
        let what = format!(
            "`{name}` is not a snapshot: give `latest` or at least {PREFIX_LEN_MIN} digits of an id"
        );
        return Err(Error::new(Kind::Input, what));
    }
    let first = matching.next();
    if matching.next().is_some() {
        let what = format!("several snapshots begin with {name}: give more digits");
        return Err(Error::new(Kind::Input, what));
    }
    Ok(first)
}

/// Forgets snapshots. They are gone from every list at once; what they need stays until a prune.
///
/// # Errors
/// Those of the store: some may be forgotten then and others not.
pub fn apply(repo: &Repository, snapshots: &[Listed], observer: &dyn Observer) -> Result<()> {
    repo.begin_writing()?;
    let sids: HashSet<SnapshotId> = snapshots.iter().map(|snapshot| snapshot.sid).collect();
    let forgotten = repo.forgotten(&|sid| sids.contains(sid))?;
    for snapshot in snapshots {
        if observer.is_interrupted() {
            let what = "interrupted; some snapshots are forgotten, others not";
            return Err(Error::new(Kind::Interrupted, what));
        }
        let k = forgotten.last(&snapshot.sid).map_or(0, |last| last.k.saturating_add(1));
        repo.put_forget((snapshot.sid, k), false, snapshot.objects.clone())?;
    }
    Ok(())
}

/// Puts forgotten snapshots back; the ids of those.
///
/// # Errors
/// `NotFound` or `Input` as for [`named`]; `Refused` when it is too late: a prune has dropped it. `Unavailable` while
/// a prune is at work that may or may not have seen this.
pub fn undo(repo: &Repository, names: &[String]) -> Result<Vec<SnapshotId>> {
    repo.begin_writing()?;
    let is_named = |sid: &SnapshotId| {
        let sid = sid.to_string();
        names.iter().any(|name| sid.starts_with(name.as_str()))
    };
    let forgotten = repo.forgotten(&is_named)?;
    let mut sids: Vec<SnapshotId> = Vec::new();
    for name in names {
        let all = forgotten.all();
        let matching = all.iter().filter(|(sid, _)| sid.to_string().starts_with(name.as_str()));
        let absent = || {
            let what = format!("no forgotten snapshot has the id {name}");
            Error::new(Kind::NotFound, what)
        };
        sids.push(one_of(name, matching)?.ok_or_else(absent)?.0);
    }
    for sid in &sids {
        let Some(last) = forgotten.last(sid) else { continue };
        repo.put_forget((*sid, last.k.saturating_add(1)), true, last.objects.clone())?;
    }
    // As a backup does: first put, then look.
    let view = repo.view()?;
    let valid = repo.valid_objects(&view)?;
    for sid in &sids {
        let objects = forgotten.last(sid).map_or(&[][..], |last| &last.objects);
        let is_listed = |object: &&SnapshotRef| {
            let named = ForgottenObject { generation: object.generation, hash: object.hash };
            object.sid == *sid && objects.contains(&named)
        };
        let Some(object) = valid.iter().find(is_listed) else {
            let what = format!(
                "snapshot {sid}: too late, a prune has dropped it; `coffer prune --undo` brings it back if that prune \
                 was made with --hold"
            );
            return Err(Error::new(Kind::Refused, what));
        };
        if view.open().is_some_and(|open| object.generation < open) {
            let what = format!(
                "snapshot {sid}: a prune is at work that may drop it still; look again with `coffer snapshots` when \
                 it has ended"
            );
            return Err(Error::new(Kind::Unavailable, what));
        }
    }
    Ok(sids)
}

/// The snapshots that are valid and meant, oldest first, and at last the damaged ones.
fn list(
    repo: &Repository,
    is_meant: &dyn Fn(&Head) -> bool,
    observer: &dyn Observer,
) -> Result<Vec<Listed>> {
    let view = repo.view()?;
    let mut objects: BTreeMap<SnapshotId, Vec<ForgottenObject>> = BTreeMap::new();
    for object in repo.valid_objects(&view)? {
        let named = ForgottenObject { generation: object.generation, hash: object.hash };
        objects.entry(object.sid).or_default().push(named);
    }
    let mut list = Vec::with_capacity(objects.len());
    for (object, head) in repo.heads(&view, observer)? {
        let Some(objects) = objects.remove(&object.sid) else { continue };
        if !is_meant(&head) {
            continue;
        }
        list.push(Listed {
            sid: object.sid,
            host: head.host.clone(),
            job: head.job.clone(),
            tags: head.tags.clone(),
            started_ns: head.started_ns,
            state: Some(head.state),
            objects,
        });
    }
    list.extend(objects.into_iter().map(|(sid, objects)| Listed {
        sid,
        host: String::new(),
        job: String::new(),
        tags: Vec::new(),
        started_ns: 0,
        state: None,
        objects,
    }));
    Ok(list)
}
