//! The folders above the snapshots.

use std::collections::BTreeMap;

use coffer_engine::model::Snapshot;
use coffer_engine::repo::is_ahead;

use crate::output::json;

/// One folder or link that no snapshot holds, or the top of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Names and the numbers of their places.
    Folder(BTreeMap<Vec<u8>, usize>),
    Link(Vec<u8>),
    /// The number of the snapshot.
    Snapshot(usize),
}

/// Places by number, each with its time; number 0 is the top.
#[derive(Debug)]
pub struct Layout {
    places: Vec<(Place, i64)>,
}

impl Layout {
    /// A snapshot alone.
    pub fn of_one(snapshot: &Snapshot) -> Self {
        Self { places: vec![(Place::Snapshot(0), snapshot.started_ns)] }
    }

    /// All of `list`, which is sorted by time. What is later than now is the latest only if there is nothing else.
    pub fn of_all(list: &[Snapshot], now_ns: i64) -> Self {
        let newest_ns = list.last().map_or(0, |snapshot| snapshot.started_ns);
        let mut layout = Self { places: vec![(Place::Folder(BTreeMap::new()), newest_ns)] };
        let snapshots = layout.folder(0, "snapshots", newest_ns);
        let [ids, hosts, tags] =
            ["ids", "hosts", "tags"].map(|name| layout.folder(0, name, newest_ns));
        let mut numbered: Vec<_> = list.iter().enumerate().collect();
        numbered.sort_by_key(|(_, snapshot)| !is_ahead(snapshot.started_ns, now_ns));
        for (number, snapshot) in numbered {
            let at_ns = snapshot.started_ns;
            let name = layout.free_name(snapshots, &time_name(at_ns));
            layout.put(snapshots, &name, Place::Snapshot(number), at_ns);
            let up = |levels: usize| format!("{}snapshots/{name}", "../".repeat(levels));
            let id = layout.free_name(ids, json::short(&snapshot.sid.to_string()));
            layout.put(ids, &id, Place::Link(up(1).into()), at_ns);
            let host = layout.folder(hosts, &safe(&snapshot.host), at_ns);
            let tagged = snapshot.tags.iter().map(|tag| safe(tag));
            let tagged: Vec<usize> = tagged.map(|tag| layout.folder(tags, &tag, at_ns)).collect();
            for folder in [host].into_iter().chain(tagged) {
                layout.put(folder, &name, Place::Link(up(2).into()), at_ns);
                layout.put(folder, "latest", Place::Link(name.clone().into()), at_ns);
            }
            layout.put(snapshots, "latest", Place::Link(name.clone().into()), at_ns);
            layout.put(0, "latest", Place::Link(up(0).into()), at_ns);
        }
        layout
    }

    /// The place of this number, and its time in nanoseconds since 1970.
    pub fn get(&self, number: usize) -> Option<&(Place, i64)> {
        self.places.get(number)
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The folder `name` in the folder `parent`; made if there is none.
    fn folder(&mut self, parent: usize, name: &str, at_ns: i64) -> usize {
        match self.child(parent, name) {
            Some(number) => number,
            None => self.put(parent, name, Place::Folder(BTreeMap::new()), at_ns),
        }
    }

    /// Puts a place; one of the same name is replaced.
    fn put(&mut self, parent: usize, name: &str, place: Place, at_ns: i64) -> usize {
        if let Some(number) = self.child(parent, name) {
            self.places[number] = (place, at_ns);
            return number;
        }
        let number = self.places.len();
        self.places.push((place, at_ns));
        if let Some((Place::Folder(children), _)) = self.places.get_mut(parent) {
            children.insert(name.into(), number);
        }
        number
    }

    fn child(&self, parent: usize, name: &str) -> Option<usize> {
        match self.places.get(parent) {
            Some((Place::Folder(children), _)) => children.get(name.as_bytes()).copied(),
            _ => None,
        }
    }

    /// `name`, or with a number behind it when it is taken.
    fn free_name(&self, parent: usize, name: &str) -> String {
        let mut names =
            std::iter::once(name.to_owned()).chain((2_u64..).map(|n| format!("{name}-{n}")));
        names.find(|name| self.child(parent, name).is_none()).unwrap_or_default()
    }
}

/// A moment in UTC to the second, as in `2026-11-21T01:22:20Z`.
fn time_name(ns: i64) -> String {
    let moment = jiff::Timestamp::from_second(ns.div_euclid(1_000_000_000)).unwrap_or_default();
    moment.to_string()
}

/// A name of a host or tag as the name of one folder.
fn safe(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c == '/' || c == '\0' { '_' } else { c }).take(60).collect();
    // `latest` in tags/ would be fine, but these three are not names of folders.
    if matches!(plain.as_str(), "" | "." | "..") { format!("_{plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_times_and_hosts_are_names_of_folders() {
        assert_eq!(time_name(1_500_000_000), "1970-01-01T00:00:01Z");
        assert_eq!(time_name(-1), "1969-12-31T23:59:59Z");
        assert_eq!([safe("a/b"), safe(".."), safe("")], ["a_b", "_..", "_"]);
        assert!(safe(&"é".repeat(200)).len() <= 255);
    }

    #[test]
    fn names_that_are_taken_get_a_number() {
        let mut layout = Layout { places: vec![(Place::Folder(BTreeMap::new()), 0)] };
        for wanted in ["a", "a-2", "a-3"] {
            let name = layout.free_name(0, "a");
            assert_eq!(name, wanted);
            layout.put(0, &name, Place::Link(Vec::new()), 0);
        }
    }
}
