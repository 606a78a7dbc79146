//! Bytes, durations and moments as text.

use std::time::Duration;

use coffer_engine::model::Time;
use coffer_engine::repo::Tuning;

/// Bytes with a binary unit, as in `1.4 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A number of things, as in `1 file`, `2 files`, `0 entries`.
#[must_use]
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A duration as in `850 ms`, `3.2 s`, `4:05` or `1:02:03`.
#[must_use]
pub fn duration(length: Duration) -> String {
    let secs = length.as_secs();
    match secs {
        0 => format!("{} ms", length.as_millis()),
        1..60 => format!("{:.1} s", length.as_secs_f64()),
        60..3600 => format!("{}:{:02}", secs / 60, secs % 60),
        _ => format!("{}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60),
    }
}

/// Settings of a repository, as in `zstd level 3, frames of 4.0 MiB, packs of 32.0 MiB, …`.
#[must_use]
pub fn tuning(tuning: &Tuning) -> String {
    let level = match tuning.zstd_level {
        0 => "no compression".to_owned(),
        level => format!("zstd level {level}"),
    };
    let (frame, pack) = (bytes(tuning.frame_len), bytes(tuning.pack_len));
    let chunk = bytes(tuning.tree_chunk_avg);
    format!("{level}, frames of {frame}, packs of {pack}, chunks of {chunk}")
}

/// A moment in this machine's time zone, to the second.
#[must_use]
pub fn local_time(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(
        |_| "?".into(),
        |moment| {
            let zoned = moment.to_zoned(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
        },
    )
}

/// A moment as RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns))
        .map_or_else(|_| "1970-01-01T00:00:00Z".into(), |moment| moment.to_string())
}

/// An entry's time as RFC 3339 in UTC; one beyond the year 9999 becomes the epoch.
#[must_use]
pub fn entry_rfc3339(time: Time) -> String {
    entry_moment(time).map_or_else(|| "1970-01-01T00:00:00Z".into(), |moment| moment.to_string())
}

/// An entry's time in this machine's time zone, to the second.
#[must_use]
pub fn entry_local(time: Time) -> String {
    entry_moment(time).map_or_else(
        || "?".into(),
        |moment| {
            let zoned = moment.to_zoned(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
        },
    )
}

fn entry_moment(time: Time) -> Option<jiff::Timestamp> {
    let nanos = i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    jiff::Timestamp::from_nanosecond(nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(duration(Duration::from_millis(850)), "850 ms");
        assert_eq!(duration(Duration::from_secs(245)), "4:05");
        assert_eq!(duration(Duration::from_secs(3723)), "1:02:03");
    }

    #[test]
    fn no_time_of_a_stranger_is_too_far() {
        for secs in [i64::MIN, i64::MAX, 0] {
            let time = Time { secs, nanos: 5 };
            assert!(!entry_rfc3339(time).is_empty() && !entry_local(time).is_empty());
        }
        assert_eq!(rfc3339(1_500_000_000), "1970-01-01T00:00:01.5Z");
    }
}
