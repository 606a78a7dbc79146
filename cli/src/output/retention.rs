//! What `forget` and `prune` tell people.

use coffer_engine::maintain::{Kept, Listed, PackPlan, PackUse, PruneReport};
use comfy_table::Table;

use super::{escape, json, table, units};

/// What is to become of the snapshots of one host and job.
#[derive(Debug, Default)]
pub struct Group<'g> {
    /// Empty, like the job, for what is damaged.
    pub host: &'g str,
    pub job: &'g str,
    pub kept: Vec<&'g Kept>,
    pub forgotten: Vec<&'g Listed>,
    pub checkpoints: Vec<&'g Listed>,
    /// Snapshots that stay, those included that nothing was asked about.
    pub left: usize,
}

impl Group<'_> {
    /// Whose snapshots, as in `web1, job nightly`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.host.is_empty() && self.job.is_empty() {
            return "damaged".into();
        }
        format!("{}, job {}", escape::text(self.host), escape::text(table::job(self.job)))
    }

    /// The group as a heading and a list, oldest first.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = table::plain(&["ID", "Time", "Tags", "Decision"]);
        let kept = self.kept.iter().map(|it| (&it.snapshot, reasons(it)));
        let forgotten = self.forgotten.iter().map(|it| (*it, "forget".to_owned()));
        let checkpoints = self.checkpoints.iter().map(|it| (*it, "forget checkpoint".to_owned()));
        let mut all: Vec<(&Listed, String)> = kept.chain(forgotten).chain(checkpoints).collect();
        all.sort_by_key(|(listed, _)| (listed.started_ns, listed.sid));
        all.iter().for_each(|(listed, what)| add_row(&mut lines, listed, what));
        let heading = format!(
            "{}: forget {}, {} left",
            self.name(),
            units::count(self.forgotten.len() as u64, "snapshot", "snapshots"),
            self.left
        );
        format!("{heading}\n{}", lines.trim_fmt())
    }
}

fn reasons(kept: &Kept) -> String {
    let words: Vec<&str> = kept.reasons.iter().map(|reason| reason.word()).collect();
    format!("keep: {}", words.join(", "))
}

fn add_row(lines: &mut Table, listed: &Listed, what: &str) {
    let tags: Vec<String> = listed.tags.iter().map(|tag| escape::text(tag)).collect();
    let time = match listed.state {
        Some(_) => units::local_time(listed.started_ns),
        None => "-".into(),
    };
    let id = listed.sid.to_string();
    lines.add_row([json::short(&id), &time, &tags.join(","), what]);
}

/// What a prune found and did, or would do.
#[must_use]
pub fn prune_lines(report: &PruneReport, dry_run: bool) -> Vec<String> {
    let plan = &report.plan;
    let mut lines = Vec::new();
    // Nothing is looked at while an earlier prune holds what it gave up.
    let of_earlier = report.held_until_ns.is_some() && *plan == PackPlan::default();
    if !of_earlier {
        lines.push(line("kept", &kept(report)));
        if !plan.garbage.is_empty() {
            lines.push(line("garbage", &packs(&plan.garbage)));
        }
        if !plan.rewrite.is_empty() {
            let into = if dry_run {
                String::new()
            } else {
                format!(" as {}", units::bytes(report.rewritten_bytes))
            };
            let word = if dry_run { "rewrite" } else { "rewritten" };
            lines.push(line(word, &format!("{}{into}", packs(&plan.rewrite))));
        }
        if !plan.young.is_empty() {
            let what = format!("{}, stored lately (--leave-newer)", packs(&plan.young));
            lines.push(line("left", &what));
        }
    }
    if report.rescued > 0 {
        let what = units::count(report.rescued, "pack", "packs");
        lines.push(line("rescued", &format!("{what} that a backup began to need meanwhile")));
    }
    if dry_run {
        let freed = format!("about {}; this was a dry run", units::bytes(plan.freed_bytes()));
        lines.push(line("frees", &freed));
    } else if report.held_until_ns.is_none() || report.packs_deleted > 0 {
        lines.push(line("deleted", &deleted(report)));
    }
    lines.extend(report.held_until_ns.map(|until_ns| held(until_ns, of_earlier)));
    lines
}

fn line(word: &str, what: &str) -> String {
    format!("{word:<10} {what}")
}

fn kept(report: &PruneReport) -> String {
    let plan = &report.plan;
    let others = [&plan.garbage, &plan.rewrite, &plan.young].into_iter().flatten();
    let others: u64 = others.map(|pack| pack.pack_len).sum();
    let mut text = format!(
        "{}, {} of {}",
        units::count(report.snapshots, "snapshot", "snapshots"),
        units::count(plan.kept_count, "pack", "packs"),
        units::bytes(plan.stored_bytes.saturating_sub(others)),
    );
    if plan.garbage_kept_bytes > 0 {
        let unused = units::bytes(plan.garbage_kept_bytes);
        text.push_str(&format!(", of which {unused} unused"));
    }
    text
}

fn packs(packs: &[PackUse]) -> String {
    let bytes = packs.iter().map(|pack| pack.pack_len).sum();
    let count = units::count(packs.len() as u64, "pack", "packs");
    format!("{count} of {}", units::bytes(bytes))
}

fn deleted(report: &PruneReport) -> String {
    let mut parts = Vec::new();
    if report.packs_deleted > 0 {
        let packs = units::count(report.packs_deleted, "pack", "packs");
        parts.push(format!("{packs} of {}", units::bytes(report.bytes_deleted)));
    }
    if report.objects_deleted > 0 {
        parts.push(units::count(report.objects_deleted, "small object", "small objects"));
    }
    if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
}

fn held(until_ns: i64, of_earlier: bool) -> String {
    let what = if of_earlier { "what an earlier prune gave up" } else { "what was given up" };
    let until = units::local_time(until_ns);
    let taken_back = "`coffer prune --undo` takes it back";
    line("held", &format!("{what}, until {until}; {taken_back}"))
}
