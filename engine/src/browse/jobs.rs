//! What jobs cost, by what their snapshots say of their runs.

use std::collections::BTreeMap;

use crate::model::{Snapshot, SnapshotState};

/// The span that rates are told of: what a watch keeps whole.
const SPAN_NS: i64 = 3600 * 1_000_000_000;

/// What one job of one host costs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobCost {
    pub host: String,
    pub job: String,
    pub snapshots: u64,
    /// When the newest began; nanoseconds since 1970-01-01T00:00:00 UTC.
    pub newest_ns: i64,
    /// Of the snapshots that began in the hour up to the newest: how many, bytes they put into packs, and nanoseconds from
    /// beginning to end of each together.
    pub hour_snapshots: u64,
    pub hour_stored_bytes: u64,
    pub hour_busy_ns: u64,
}

impl JobCost {
    /// Percent of an hour in which a snapshot was being made.
    #[must_use]
    pub fn busy_percent(&self) -> f64 {
        self.hour_busy_ns as f64 * 100.0 / SPAN_NS as f64
    }
}

/// What each job of each host costs, by host and job; checkpoints are left out.
#[must_use]
pub fn job_costs(snapshots: &[Snapshot]) -> Vec<JobCost> {
    let whole = |it: &&Snapshot| it.state != SnapshotState::Incomplete;
    let mut jobs: BTreeMap<(&str, &str), Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in snapshots.iter().filter(whole) {
        jobs.entry((&snapshot.host, &snapshot.job)).or_default().push(snapshot);
    }
    let cost = |((host, job), of_job): ((&str, &str), Vec<&Snapshot>)| {
        let newest_ns = of_job.iter().map(|it| it.started_ns).max().unwrap_or(0);
        let (host, job, snapshots) = (host.to_owned(), job.to_owned(), of_job.len() as u64);
        let mut cost = JobCost { host, job, snapshots, newest_ns, ..JobCost::default() };
        for it in of_job {
            if newest_ns.saturating_sub(it.started_ns) < SPAN_NS {
                let busy_ns = it.finished_ns.saturating_sub(it.started_ns);
                cost.hour_snapshots += 1;
                cost.hour_stored_bytes += it.totals.data_stored;
                cost.hour_busy_ns += u64::try_from(busy_ns).unwrap_or(0);
            }
        }
        cost
    };
    jobs.into_iter().map(cost).collect()
}
