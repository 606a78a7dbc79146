//! A database that nobody uses, measured again and compared with what was measured of it before.

use std::io;

use rusqlite::Connection;

use super::capture::{self, Failure, Given};
use super::facts::Facts;
use super::open;
use super::pages::{self, Blocks};
use super::tables;
use crate::model::Source;

/// What two states of a database that are one do not share: how and when they are read.
const OF_THE_READING: [&str; 6] = [
    "journal_mode",
    "quick_check",
    "integrity_check",
    "foreign_key_check",
    "moment",
    Source::WATCHED,
];

/// How a database differs from what was `known` of it; none if it does not. Reads all of it.
///
/// # Errors
/// Why SQLite cannot read it.
pub fn difference(connection: Connection, known: &Facts) -> Result<Option<String>, String> {
    let found = measure(connection, known).map_err(Failure::what)?;
    let compared = known.values.iter().filter(|(name, _)| !OF_THE_READING.contains(&name.as_str()));
    let mut differing = compared.filter_map(|(name, before)| {
        let now = found.get(name).unwrap_or("not there");
        (now != before).then(|| format!("{name} is {now}, at capture it was {before}"))
    });
    Ok(differing.next())
}

fn measure(connection: Connection, known: &Facts) -> Result<Facts, Failure> {
    open::distrust(&connection)?;
    open::begin(&connection)?;
    let mut facts = capture::measure(&connection)?;
    let mut ignore = |_: Given<'_>| -> io::Result<()> { Ok(()) };
    let mut blocks = Blocks::new(&mut ignore);
    let len = capture::len_of(&facts)?;
    pages::each(&connection, len, false, &mut |page| blocks.push(page))?;
    facts.set("blake3", blocks.finish()?.blake3);
    if known.get("tables_blake3").is_some() {
        tables::measure(&connection, &mut facts)?;
    }
    // As it came over from the process that measured it first.
    Ok(Facts::decode(&facts.encode()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(rows: &str) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE a (x); CREATE TABLE b (y)").unwrap();
        connection.execute_batch(&format!("INSERT INTO a VALUES {rows}")).unwrap();
        connection
    }

    #[test]
    fn the_first_fact_that_differs_is_told() {
        let with_tables = |mut facts: Facts| {
            facts.set("tables_blake3", "");
            facts
        };
        let known = measure(database("(1), (2)"), &with_tables(Facts::default())).unwrap();
        assert_eq!(known.get("table a").unwrap().split(' ').next(), Some("rows=2"));
        assert_eq!(difference(database("(1), (2)"), &known), Ok(None));
        let other = difference(database("(1), (3)"), &known).unwrap().unwrap();
        assert!(other.starts_with("blake3 is "), "{other}");
        let mut without_pages = known.clone();
        without_pages.values.remove("blake3");
        let other = difference(database("(1), (3)"), &without_pages).unwrap().unwrap();
        assert!(other.starts_with("table a is rows=2 "), "{other}");
        let mut read_otherwise = known.clone();
        read_otherwise.set("journal_mode", "wal");
        assert_eq!(difference(database("(1), (2)"), &read_otherwise), Ok(None));
    }
}
