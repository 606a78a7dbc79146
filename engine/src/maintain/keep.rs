//! Which snapshots a rule keeps: a pure function of when they were made.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::model::SnapshotId;

/// What is kept. Nothing is, if nothing is asked for.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The newest so many.
    pub last: u64,
    /// All that are at most this much older than the newest.
    pub within: Option<Duration>,
    /// The newest of each of the newest so many minutes, hours, days, weeks, months and years that have one.
    pub minutely: u64,
    pub hourly: u64,
    pub daily: u64,
    pub weekly: u64,
    pub monthly: u64,
    pub yearly: u64,
    /// All with one of these tags.
    pub tags: Vec<String>,
    /// Whose days and hours.
    pub zone: TimeZone,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            last: 0,
            within: None,
            minutely: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            tags: Vec::new(),
            zone: TimeZone::UTC,
        }
    }
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    Last,
    Within,
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
    Tag,
    /// The newest of all, or the newest whole one, where the rule keeps no other.
    Newest,
    /// Made later than it is now, by its own account.
    Future,
}

impl Reason {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Within => "within",
            Self::Minutely => "minutely",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::Tag => "tag",
            Self::Newest => "newest",
            Self::Future => "future",
        }
    }
}

/// The beginning of the minute, hour, day … that a moment is in.
type Slot = fn(DateTime) -> DateTime;

/// What a rule looks at of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub sid: SnapshotId,
    /// Nanoseconds since 1970-01-01T00:00:00 UTC.
    pub started_ns: i64,
    /// Every source and file could be read.
    pub is_whole: bool,
    pub tags: Vec<String>,
}

impl Policy {
    /// True if it would keep nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let counts = [
            self.last,
            self.minutely,
            self.hourly,
            self.daily,
            self.weekly,
            self.monthly,
            self.yearly,
        ];
        counts.iter().all(|count| *count == 0) && self.within.is_none() && self.tags.is_empty()
    }

    /// For each of `candidates`, which ascend by time and are of one host and job, why it is kept; nothing for one that
    /// is not. A partial snapshot takes the place of a whole one in no rule: those with nothing whole behind them are
    /// judged as a row of their own, others are kept by their age or by a tag only. Of either row at least the newest is kept by
    /// any rule, also by one of tags that none of them has. What is later than `now_ns` is kept and takes nobody's place: a
    /// clock was wrong, then or now.
    #[must_use]
    pub fn reasons(&self, candidates: &[Candidate], now_ns: i64) -> Vec<BTreeSet<Reason>> {
        let is_past = |it: &Candidate| it.started_ns <= now_ns;
        let (past, future) = candidates.split_at(candidates.partition_point(is_past));
        let after_whole = past.iter().rposition(|it| it.is_whole).map_or(0, |at| at + 1);
        let (past, partial) = past.split_at(after_whole);
        let mut reasons = self.of_row(past);
        reasons.extend(self.of_row(partial));
        let later = if self.is_empty() { None } else { Some(Reason::Future) };
        reasons.extend(future.iter().map(|_| later.into_iter().collect()));
        reasons
    }

    /// Of a row in which the last is whole, or none.
    fn of_row(&self, candidates: &[Candidate]) -> Vec<BTreeSet<Reason>> {
        let mut reasons: Vec<BTreeSet<Reason>> = vec![BTreeSet::new(); candidates.len()];
        let has_whole = candidates.iter().any(|it| it.is_whole);
        let counts = |it: &Candidate| it.is_whole || !has_whole;
        let newest = candidates.iter().rposition(counts);
        let newest_ns = newest.map_or(0, |at| candidates[at].started_ns);
        for (at, candidate) in candidates.iter().enumerate() {
            let age = u128::try_from(i128::from(newest_ns) - i128::from(candidate.started_ns));
            if self.within.is_some_and(|max| age.unwrap_or(0) <= max.as_nanos()) {
                reasons[at].insert(Reason::Within);
            }
            if candidate.tags.iter().any(|tag| self.tags.contains(tag)) {
                reasons[at].insert(Reason::Tag);
            }
        }
        let whole: Vec<usize> =
            (0..candidates.len()).rev().filter(|at| counts(&candidates[*at])).collect();
        for at in whole.iter().take(usize::try_from(self.last).unwrap_or(usize::MAX)) {
            reasons[*at].insert(Reason::Last);
        }
        for (reason, count, slot) in self.rules() {
            let mut seen = HashSet::new();
            for at in &whole {
                if seen.len() as u64 >= count {
                    break;
                }
                if seen.insert(slot(self.civil(candidates[*at].started_ns))) {
                    reasons[*at].insert(reason);
                }
            }
        }
        let none_is_kept = whole.iter().all(|at| reasons[*at].is_empty());
        if let Some(at) = newest.filter(|_| none_is_kept && !self.is_empty()) {
            reasons[at].insert(Reason::Newest);
        }
        reasons
    }

    fn rules(&self) -> [(Reason, u64, Slot); 6] {
        [
            (Reason::Minutely, self.minutely, |at| at.date().at(at.hour(), at.minute(), 0, 0)),
            (Reason::Hourly, self.hourly, |at| at.date().at(at.hour(), 0, 0, 0)),
            (Reason::Daily, self.daily, |at| midnight(at.date())),
            (Reason::Weekly, self.weekly, |at| {
                let week = at.date().iso_week_date();
                let monday = jiff::civil::ISOWeekDate::new(
                    week.year(),
                    week.week(),
                    jiff::civil::Weekday::Monday,
                );
                midnight(monday.map_or(at.date(), jiff::civil::ISOWeekDate::date))
            }),
            (Reason::Monthly, self.monthly, |at| midnight(at.date().first_of_month())),
            (Reason::Yearly, self.yearly, |at| midnight(at.date().first_of_year())),
        ]
    }

    fn civil(&self, ns: i64) -> DateTime {
        let moment = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH);
        self.zone.to_datetime(moment)
    }
}

fn midnight(date: Date) -> DateTime {
    date.at(0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Candidates at moments as in `2026-03-01T12:00`; a `~` before one makes it partial.
    fn candidates(moments: &[&str]) -> Vec<Candidate> {
        let candidate = |(number, text): (u8, &&str)| {
            let (is_whole, text) = text.strip_prefix('~').map_or((true, *text), |it| (false, it));
            let at: Timestamp = format!("{text}:00Z").parse().unwrap();
            Candidate {
                sid: SnapshotId([number; 16]),
                started_ns: i64::try_from(at.as_nanosecond()).unwrap(),
                is_whole,
                tags: if number == 1 { vec!["release".to_owned()] } else { Vec::new() },
            }
        };
        (1..).zip(moments).map(candidate).collect()
    }

    /// Checks which of `moments`, counted from 1, are kept.
    fn check(policy: &Policy, moments: &[&str], kept: &[usize]) {
        check_at("2030-01-01T00:00", policy, moments, kept);
    }

    fn check_at(now: &str, policy: &Policy, moments: &[&str], kept: &[usize]) {
        let now_ns = candidates(&[now])[0].started_ns;
        let reasons = policy.reasons(&candidates(moments), now_ns);
        let found: Vec<usize> =
            (1..).zip(&reasons).filter(|(_, why)| !why.is_empty()).map(|(at, _)| at).collect();
        assert_eq!(found, kept, "{policy:?} {reasons:?}");
    }

    const HOURS: [&str; 6] = [
        "2026-03-01T22:10",
        "2026-03-01T22:50",
        "2026-03-01T23:10",
        "2026-03-02T00:10",
        "2026-03-02T09:10",
        "2026-03-02T09:50",
    ];

    #[test]
    fn each_rule_keeps_the_newest_of_its_slots() {
        let none = Policy::default();
        check(&none, &HOURS, &[]);
        check(&Policy { last: 2, ..none.clone() }, &HOURS, &[5, 6]);
        check(&Policy { hourly: 3, ..none.clone() }, &HOURS, &[3, 4, 6]);
        check(&Policy { daily: 9, ..none.clone() }, &HOURS, &[3, 6]);
        check(&Policy { minutely: 2, ..none.clone() }, &HOURS, &[5, 6]);
        let within = Some(Duration::from_secs(3600));
        check(&Policy { within, ..none.clone() }, &HOURS, &[5, 6]);
        check(&Policy { tags: vec!["release".to_owned()], ..none.clone() }, &HOURS, &[1]);
        let days = ["2025-12-28T10:00", "2025-12-31T10:00", "2026-01-01T10:00", "2026-01-05T10:00"];
        // 31 December 2025 and 1 January 2026 are in one week.
        check(&Policy { weekly: 9, ..none.clone() }, &days, &[1, 3, 4]);
        check(&Policy { monthly: 1, yearly: 2, ..none }, &days, &[2, 4]);
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        check(&Policy { daily: 9, zone, ..Policy::default() }, &HOURS, &[6]);
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        check(&Policy { daily: 9, zone, ..Policy::default() }, &HOURS, &[2, 6]);
    }

    #[test]
    fn a_partial_snapshot_never_displaces_a_whole_one() {
        let rule = Policy { last: 1, daily: 3, ..Policy::default() };
        let moments =
            ["2026-03-01T10:00", "~2026-03-01T20:00", "2026-03-02T10:00", "~2026-03-02T20:00"];
        check(&rule, &moments, &[1, 3, 4]);
        let none_whole = ["~2026-03-01T10:00", "~2026-03-01T20:00", "~2026-03-02T10:00"];
        check(&rule, &none_whole, &[2, 3]);
    }

    #[test]
    fn partial_snapshots_behind_the_newest_whole_one_are_thinned_among_themselves() {
        let moments = [
            "2026-03-01T10:00",
            "2026-03-01T11:00",
            "~2026-03-01T12:00",
            "~2026-03-01T13:00",
            "~2026-03-02T10:00",
            "~2026-03-02T11:00",
        ];
        check(&Policy { last: 1, ..Policy::default() }, &moments, &[2, 6]);
        check(&Policy { daily: 9, ..Policy::default() }, &moments, &[2, 4, 6]);
        let tags = vec!["none has it".to_owned()];
        check(&Policy { tags, ..Policy::default() }, &moments, &[2, 6]);
    }

    #[test]
    fn what_is_later_than_now_is_kept_and_takes_nobodys_place() {
        let moments =
            ["2026-03-01T10:00", "2026-03-02T10:00", "2026-03-03T10:00", "2031-01-01T00:00"];
        let now = "2026-03-03T10:00";
        let day = Some(Duration::from_secs(86_400));
        check_at(now, &Policy { within: day, ..Policy::default() }, &moments, &[2, 3, 4]);
        check_at(now, &Policy { last: 1, ..Policy::default() }, &moments, &[3, 4]);
        check_at(now, &Policy { yearly: 1, ..Policy::default() }, &moments, &[3, 4]);
        // A clock that was set back: what is made from then on is kept as ever.
        let back = "2026-03-01T12:00";
        check_at(back, &Policy { last: 1, ..Policy::default() }, &moments, &[1, 2, 3, 4]);
        check_at(now, &Policy::default(), &moments, &[]);
    }

    #[test]
    fn a_rule_keeps_at_least_the_newest_whole_one() {
        let tags = vec!["none has it".to_owned()];
        check(&Policy { tags, ..Policy::default() }, &HOURS, &[6]);
        let day = Policy { within: Some(Duration::from_secs(86_400)), ..Policy::default() };
        check(&day, &["2026-03-01T10:00", "2026-03-04T10:00", "~2026-03-09T10:00"], &[2, 3]);
        let tagged = Policy { tags: vec!["release".to_owned()], ..Policy::default() };
        check(&tagged, &["~2026-03-01T10:00", "2026-03-04T10:00", "2026-03-05T10:00"], &[1, 3]);
        check(&tagged, &[], &[]);
    }

    #[test]
    fn snapshots_of_any_clock_are_judged_without_a_panic() {
        let of = |started_ns| Candidate {
            sid: SnapshotId([0; 16]),
            started_ns,
            is_whole: true,
            tags: Vec::new(),
        };
        let all = [of(i64::MIN), of(0), of(i64::MAX)];
        let rule = Policy { weekly: 9, within: Some(Duration::MAX), ..Policy::default() };
        for now_ns in [i64::MIN, 0, i64::MAX] {
            assert!(rule.reasons(&all, now_ns).iter().all(|why| !why.is_empty()));
        }
    }
}
