//! What was measured of a database.

use std::collections::BTreeMap;

/// How a `quick_check` begins that says nothing of the database.
pub(super) const NOT_CHECKED: &str = "not checked: ";

/// What was measured of a database inside the transaction its pages were read in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// By name: `page_size` (bytes), `page_count`, `user_version`, `application_id`, `journal_mode`,
    /// `encoding`, `quick_check` (`ok`, the first thing it found, or `not checked: ` and why).
    pub values: BTreeMap<String, String>,
}

impl Facts {
    /// True if SQLite found nothing wrong with the pages.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.values.get("quick_check").is_some_and(|found| found == "ok")
    }

    /// Why SQLite could not check the pages; none if it did.
    #[must_use]
    pub fn unchecked(&self) -> Option<&str> {
        self.values.get("quick_check").and_then(|found| found.strip_prefix(NOT_CHECKED))
    }

    /// All on one line, as in `journal_mode=wal page_count=12`.
    #[must_use]
    pub fn line(&self) -> String {
        let each = self.values.iter().map(|(name, value)| format!("{name}={value}"));
        each.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let one_line = |value: &String| value.replace(['\n', '\r'], " ");
        let each = self.values.iter().map(|(name, value)| format!("{name}={}\n", one_line(value)));
        each.collect::<String>().into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let pair = |line: &str| line.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()));
        Self { values: text.lines().filter_map(pair).collect() }
    }
}
