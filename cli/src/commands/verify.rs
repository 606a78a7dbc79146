use coffer_engine::error::Result as EngineResult;
use coffer_engine::observe::Observer;
use coffer_engine::repo::Repository;
use coffer_engine::verify::{self, Finding, Report, Touched};

use super::Context;
use crate::exit::{Code, Failure, Result};
use crate::output::progress::{Reporter, Task};
use crate::output::{Stdout, escape, json, stderr_json, stderr_line, units};

/// Damaged paths shown; --json has them all.
const TOUCHED_LINE_COUNT_MAX: usize = 10;

/// Checks structure without reading data.
///
/// # Errors
/// Fails with code 4 when something is damaged.
pub fn check(context: &Context) -> Result<()> {
    examine(context, "check", verify::check)
}

/// Reads everything back.
///
/// # Errors
/// Fails with code 4 when something is damaged.
pub fn verify(context: &Context) -> Result<()> {
    examine(context, "verify", verify::verify)
}

fn examine(
    context: &Context,
    command: &str,
    run: fn(&Repository, &dyn Observer) -> EngineResult<Report>,
) -> Result<()> {
    let repository = context.open()?;
    let reporter = context.reporter(Task::Check, false);
    let result = run(&repository, &reporter);
    reporter.clear();
    let report = result.map_err(|error| {
        reporter.tell_held();
        Failure::from(error)
    })?;
    // Damage weighs more than a standard output that nobody reads.
    let told = tell(context, command, &report, &reporter);
    if report.findings.is_empty() {
        return told;
    }
    let count = units::count(report.findings.len() as u64, "problem", "problems");
    Err(Failure::new(Code::Damage, format!("{command} found {count}")).hint(
        "snapshots that are not named stay restorable; the next backup stores again what it still \
         finds at the source",
    ))
}

fn tell(context: &Context, command: &str, report: &Report, reporter: &Reporter) -> Result<()> {
    let mut out = Stdout::new()?;
    if context.global.json {
        report.findings.iter().for_each(|f| stderr_json(&json::FindingLine::new(f)));
        report.touched.iter().for_each(|t| stderr_json(&json::TouchedLine::new(t)));
        out.json(&json::ReportLine::new(report, reporter.elapsed().as_secs()))?;
        return out.finish();
    }
    for line in report.findings.iter().map(finding_line).chain(touched_lines(report)) {
        stderr_line(&line);
    }
    if !context.global.quiet {
        out.line(&format!(
            "{command}: {}, {}, {} read in {}: {}",
            units::count(report.snapshots, "snapshot", "snapshots"),
            units::count(report.packs, "pack", "packs"),
            units::bytes(report.bytes),
            units::duration(reporter.elapsed()),
            if report.findings.is_empty() { "no problems" } else { "problems found" }
        ))?;
    }
    out.finish()
}

fn finding_line(finding: &Finding) -> String {
    let (object, problem) = (escape::text(&finding.object), escape::text(&finding.problem));
    format!("coffer: damage: {object}: {problem}")
}

fn touched_lines(report: &Report) -> Vec<String> {
    let line = |touched: &Touched| {
        let id = touched.snapshot.to_string();
        let path = match touched.path.as_slice() {
            [] => "its secrets, or a part of its list of files".to_owned(),
            path => escape::path(path),
        };
        format!("  snapshot {}: {path}", json::short(&id))
    };
    let mut lines: Vec<String> =
        report.touched.iter().take(TOUCHED_LINE_COUNT_MAX).map(line).collect();
    let more = report.touched_count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("  … and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_engine::model::SnapshotId;

    #[test]
    fn damage_names_what_it_touches_within_bounds() {
        let finding = Finding { object: "pack 3f9c".into(), problem: "seal\nbroken".into() };
        assert_eq!(finding_line(&finding), "coffer: damage: pack 3f9c: seal\\nbroken");
        let touched = |n: u32| Touched {
            snapshot: SnapshotId([1; 16]),
            path: format!("srv/{n}").into_bytes(),
        };
        let report = Report {
            touched: (0..25).map(touched).collect(),
            touched_count: 25,
            ..Report::default()
        };
        let lines = touched_lines(&report);
        assert_eq!(lines[0], "  snapshot 01010101: /srv/0");
        assert_eq!(lines.last().unwrap(), "  … and 15 more");
        assert_eq!(lines.len(), TOUCHED_LINE_COUNT_MAX + 1);
    }
}
