//! Values of options: sizes, durations, snapshot names.

use coffer_engine::source::sqlite::Check;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use coffer_engine::model::MemoryBound;
use coffer_engine::repo;

/// Parses a size: `4096`, `10M`, `1GiB`, `500kB`. `K M G T` and `KiB …` count by 1024, `kB MB GB TB` by 1000.
///
/// # Errors
/// When the text is no size, or one that 64 bits do not hold.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("`{text}` is not a size; write it like 4096, 10M or 1GiB")),
    };
    if number.is_empty() {
        return Err(format!("`{text}` has no number; write a size like 4096, 10M or 1GiB"));
    }
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is too large"))?;
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
}

/// Parses a bound on memory: a size that can be held.
///
/// # Errors
/// When the text is no size, or too small a one.
pub fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes < MemoryBound::MIN {
        return Err(format!(
            "{text} cannot be held: it takes at least {}M",
            MemoryBound::MIN >> 20
        ));
    }
    Ok(bytes)
}

/// Parses a bound on old bytes in the cache: a size that is of use.
///
/// # Errors
/// When the text is no size, or too small a one.
pub fn old_bytes_limit(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    let least = repo::OldBytes::CACHED_BYTES_MIN;
    if bytes < least {
        return Err(format!(
            "{text} is too little to be of use: it takes at least {}M",
            least >> 20
        ));
    }
    Ok(bytes)
}

/// Parses a part of a hundred: `5` or `5%`.
///
/// # Errors
/// When the text is no whole number from 0 to 100.
pub fn percent(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| format!("`{text}` is not a percentage; write it like 5, from 0 to 100"))
}

/// Longest duration that is taken, milliseconds: 100 years, which nanoseconds of 64 bits hold.
const DURATION_MILLIS_MAX: u64 = 100 * 365 * 24 * 3_600_000;

/// Parses a duration: `500ms`, `2s`, `1m`, `1h`, `7d`, `4w`.
///
/// # Errors
/// When the text is no duration with a unit, or too long a one.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 24 * 3_600_000,
        "w" => 7 * 24 * 3_600_000,
        _ => return Err(format!("`{text}` is not a duration; write it like 500ms, 2s, 1h or 7d")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` has no sound number"))?;
    number
        .checked_mul(millis)
        .filter(|millis| *millis <= DURATION_MILLIS_MAX)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is too long"))
}

/// Strength of the key derivation of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kdf {
    /// Argon2id with 64 MiB of memory.
    Default,
    /// Argon2id with 256 MiB of memory: dearer to guess, slower to open.
    Strong,
}

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// Zstd level 1: for a fast disk and little processor time.
    Fast,
    /// The repository's choice: zstd level 3, unless it was made with another.
    Default,
    /// Zstd level 9: some percent smaller, several times slower.
    Max,
    /// Data is stored as it is; metadata is still compressed.
    Off,
}

impl Compression {
    /// The zstd level; none for the repository's.
    #[must_use]
    pub fn level(self) -> Option<i32> {
        match self {
            Self::Fast => Some(1),
            Self::Default => None,
            Self::Max => Some(9),
            Self::Off => Some(0),
        }
    }
}

/// Where old bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OldBytes {
    /// From the repository if it is local, otherwise from the cache.
    Auto,
    /// From the repository.
    Repository,
    /// From the cache of this host, which backups fill; what it lacks is stored full.
    Cache,
}

impl From<OldBytes> for repo::OldBytesFrom {
    fn from(from: OldBytes) -> Self {
        match from {
            OldBytes::Auto => Self::Auto,
            OldBytes::Repository => Self::Repository,
            OldBytes::Cache => Self::Cache,
        }
    }
}

/// What SQLite checks of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SqliteCheck {
    /// Nothing.
    None,
    /// Every page and row: `quick_check`.
    Quick,
    /// Also that indexes and foreign keys agree with the tables, which takes ten times as long: `integrity_check`.
    Full,
}

impl From<SqliteCheck> for Check {
    fn from(check: SqliteCheck) -> Self {
        match check {
            SqliteCheck::None => Self::None,
            SqliteCheck::Quick => Self::Quick,
            SqliteCheck::Full => Self::Full,
        }
    }
}

/// `SNAP` or `SNAP:PATH`: a snapshot by id prefix or `latest`, and a raw path in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPath {
    pub snapshot: String,
    /// Without slashes at its ends; empty for everything.
    pub path: Vec<u8>,
}

/// Parses [`SnapshotPath`] from raw bytes: paths need not be UTF-8.
#[derive(Debug, Clone)]
pub struct SnapshotPathParser;

impl clap::builder::TypedValueParser for SnapshotPathParser {
    type Value = SnapshotPath;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<SnapshotPath, clap::Error> {
        snapshot_path(value).map_err(|message| {
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{message}\n"))
                .with_cmd(command)
        })
    }
}

/// Splits `SNAP[:PATH]`.
///
/// # Errors
/// When `SNAP` is neither `latest` nor a prefix of an id, or the path climbs with `..`.
pub fn snapshot_path(value: &OsStr) -> Result<SnapshotPath, String> {
    let bytes = value.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
    let (name, rest) = bytes.split_at(colon);
    let snapshot = snapshot_name(&String::from_utf8_lossy(name))?;
    let mut components = Vec::new();
    for component in rest.strip_prefix(b":").unwrap_or(rest).split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err("a path in a snapshot cannot hold `..`".into()),
            name => components.push(name),
        }
    }
    Ok(SnapshotPath { snapshot, path: components.join(&b'/') })
}

/// Takes `latest` or a prefix of an id, in either case of letters.
///
/// # Errors
/// When it is neither.
pub fn snapshot_name(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let is_id = (1..=32).contains(&lower.len()) && lower.bytes().all(|b| b.is_ascii_hexdigit());
    if is_id || lower == "latest" {
        return Ok(lower);
    }
    let shown = crate::output::escape::text(text);
    Err(format!("`{shown}` names no snapshot; give the first digits of an id, or `latest`"))
}

/// Splits the text of a file of paths; `separator` ends each, empty ones are left out.
#[must_use]
pub fn path_list(bytes: &[u8], separator: u8) -> Vec<OsString> {
    let parts = bytes.split(|byte| *byte == separator);
    parts.filter(|part| !part.is_empty()).map(|part| OsString::from_vec(part.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("10M", 10 << 20),
            ("1GiB", 1 << 30),
            ("1 GiB", 1 << 30),
            ("500kB", 500_000),
            ("3t", 3 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "10X", "99999999999999999999", "99999999T", "1é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(2 * 86_400)));
        assert_eq!(duration("104w"), Ok(Duration::from_secs(104 * 7 * 86_400)));
        for text in ["", "2", "s", "d", "2y", "-1s", "36501d", "99999999999999999w"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_are_whole_and_at_most_100() {
        for (text, number) in [("0", 0), ("5", 5), ("100%", 100)] {
            assert_eq!(percent(text), Ok(number), "{text}");
        }
        for text in ["", "%", "-1", "101", "1.5", "5%%", "é"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_snapshot_path_is_split_at_its_first_colon() {
        let split = |text: &[u8]| snapshot_path(OsStr::from_bytes(text));
        let wanted = |snapshot: &str, path: &[u8]| {
            Ok(SnapshotPath { snapshot: snapshot.into(), path: path.to_vec() })
        };
        assert_eq!(split(b"latest"), wanted("latest", b""));
        assert_eq!(split(b"AB12:/srv//a:b/./\xff/"), wanted("ab12", b"srv/a:b/\xff"));
        assert_eq!(split(b"ab:"), wanted("ab", b""));
        for text in [&b""[..], b":x", b"xyz", b"ab:a/../b", b"last", &[b'a'; 33]] {
            assert!(split(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lists_of_paths_keep_every_other_byte() {
        assert_eq!(path_list(b"a b\n\n#c\n", b'\n'), ["a b", "#c"]);
        assert_eq!(path_list(b"a\nb\0", 0), ["a\nb"]);
    }
}
