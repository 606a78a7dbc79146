//! What was measured of a database.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::request::Check;

/// How a check begins that says nothing of the database.
pub(super) const NOT_CHECKED: &str = "not checked: ";
/// Names of the checks.
const CHECKS: [&str; 2] = ["quick_check", "integrity_check"];
/// What checks and tables say.
const FOUND: [&str; 6] =
    ["quick_check", "integrity_check", "foreign_key_check", "tables", "rows", "tables_blake3"];
/// How the facts of single tables begin.
const TABLE: &str = "table ";
/// Bytes of a value: what SQLite finds may name what has a long name.
const VALUE_LEN_MAX: usize = 1000;
/// Bytes of a table's name that are told.
const TABLE_NAME_LEN_MAX: usize = 200;

/// What was measured of a database inside the transaction its pages were read in: the names and
/// values of format-spec page 6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub values: BTreeMap<String, String>,
}

impl Facts {
    /// What there is to be told of a database without a page.
    #[must_use]
    pub fn of_nothing() -> Self {
        let mut facts = Self::default();
        facts.set("page_count", "0");
        facts.set("blake3", blake3::hash(&[]).to_hex().to_string());
        facts
    }

    /// A value by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        let mut value: String = value.into();
        let end = value.char_indices().map(|(at, _)| at).find(|at| *at >= VALUE_LEN_MAX);
        value.truncate(end.unwrap_or(value.len()));
        self.values.insert(name.to_owned(), value);
    }

    /// What the check said that was made; none if none was asked for.
    #[must_use]
    pub fn check(&self) -> Option<&str> {
        CHECKS.iter().find_map(|name| self.get(name))
    }

    /// True if SQLite found nothing wrong with the pages, or was not asked.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.check().is_none_or(|found| found == "ok")
    }

    /// Why SQLite could not check the pages; none if it did, or was not asked.
    #[must_use]
    pub fn unchecked(&self) -> Option<&str> {
        self.check().and_then(|found| found.strip_prefix(NOT_CHECKED))
    }

    /// Takes over what `known` says of the very same pages; false if they are others, or if it says
    /// less than is asked for.
    pub(super) fn take_over(&mut self, known: &Self, check: Check, tables: bool) -> bool {
        let is_same = ["blake3", "page_count", "journal_mode"]
            .iter()
            .all(|name| self.get(name).is_some() && self.get(name) == known.get(name));
        let is_checked = match check {
            Check::None => true,
            Check::Quick => known.check() == Some("ok"),
            Check::Full => {
                let foreign_keys = known.get("foreign_key_check");
                known.get(CHECKS[1]) == Some("ok")
                    && foreign_keys.is_some_and(|found| !found.starts_with(NOT_CHECKED))
            }
        };
        let has_tables =
            known.get("tables_blake3").is_some() && known.get("tables_unread").is_none();
        let does = is_same && is_checked && (has_tables || !tables);
        if does {
            let found = known
                .values
                .iter()
                .filter(|(name, _)| FOUND.contains(&name.as_str()) || name.starts_with(TABLE));
            self.values.extend(found.map(|(name, value)| (name.clone(), value.clone())));
        }
        does
    }

    /// All but those of single tables on one line, as in `journal_mode=wal page_count=12`.
    #[must_use]
    pub fn line(&self) -> String {
        let told = self.values.iter().filter(|(name, _)| !name.starts_with(TABLE));
        let each = told.map(|(name, value)| format!("{name}={value}"));
        each.collect::<Vec<_>>().join(" ")
    }

    /// What [`Self::line`] gave, unless a value has spaces: nothing then.
    #[must_use]
    pub fn of_line(line: &str) -> Self {
        let pairs = line.split(' ').map(|pair| pair.split_once('='));
        let values: Option<BTreeMap<_, _>> =
            pairs.map(|pair| pair.map(|(name, value)| (name.into(), value.into()))).collect();
        Self { values: values.unwrap_or_default() }
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

/// The name of what is measured of a database in a tree.
#[must_use]
pub fn fact_name(path: &[u8]) -> String {
    // What is escaped must not be another's name.
    if path.contains(&b'\\') {
        return format!("sqlite {}", path.escape_ascii());
    }
    format!("sqlite {}", shown(path))
}

/// A path as text, with all its bytes.
#[must_use]
pub fn shown(path: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(path) {
        Ok(path) => path.into(),
        Err(_) => path.escape_ascii().to_string().into(),
    }
}

/// The name of a table's fact: what would end or split it is escaped.
pub(super) fn table_name(name: &str) -> String {
    let mut told = TABLE.to_owned();
    for character in name.chars() {
        if told.len() >= TABLE.len() + TABLE_NAME_LEN_MAX {
            told.push('…');
            break;
        }
        if character.is_control() || character == '=' || character == '%' {
            told.push_str(&format!("%{:02x}", u32::from(character)));
        } else {
            told.push(character);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> Facts {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Facts { values: pairs.iter().map(own).collect() }
    }

    #[test]
    fn a_line_says_what_it_was_made_of() {
        let known = facts(&[("page_count", "12"), ("quick_check", "ok"), ("table a", "rows=1")]);
        let line = known.line();
        assert_eq!(line, "page_count=12 quick_check=ok");
        assert_eq!(Facts::of_line(&line), facts(&[("page_count", "12"), ("quick_check", "ok")]));
        assert_eq!(Facts::of_line("quick_check=row 5 is missing"), Facts::default());
        let named = facts(&[(&table_name("a=b\nc%"), "rows=1 blake3=ab")]);
        assert_eq!(Facts::decode(&named.encode()), named);
    }

    #[test]
    fn only_what_was_found_of_the_same_pages_is_taken_over() {
        let pages = [("blake3", "ab"), ("page_count", "1"), ("journal_mode", "wal")];
        let with = |more: &[(&str, &str)]| facts(&[&pages[..], more].concat());
        let check = |known: &Facts, check, tables| with(&[]).take_over(known, check, tables);
        let ok = with(&[("quick_check", "ok")]);
        assert!(check(&ok, Check::Quick, false) && check(&ok, Check::None, false));
        assert!(!check(&ok, Check::Full, false) && !check(&ok, Check::Quick, true));
        let full =
            [("integrity_check", "ok"), ("foreign_key_check", "ok"), ("tables_blake3", "cd")];
        let full = with(&full);
        assert!(check(&full, Check::Quick, true) && check(&full, Check::Full, true));
        let other =
            facts(&[&[("blake3", "cd")][..], &pages[1..], &[("quick_check", "ok")]].concat());
        assert!(!check(&other, Check::Quick, false));
        assert!(!check(&with(&[("quick_check", "row 1")]), Check::Quick, false));
        assert!(!check(&Facts::default(), Check::Quick, false));
        let mut taken = with(&[]);
        assert!(taken.take_over(&ok, Check::Quick, false) && taken == ok);
    }
}
