//! Object × harm × command: every harm to every object is told, and touches only what needs the object.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use super::support::{Picture, Ran, Site, copy_folder, grow, ids, objects, overwrite};

/// Exit codes of commands that met damage and said so.
const HONEST: [i32; 4] = [4, 6, 10, 12];

/// Where single bytes are flipped: the fields of every kind's header, and places counted from the end.
const OFFSETS: [usize; 16] = [0, 1, 2, 3, 4, 8, 12, 16, 31, 33, 48, 56, 64, 80, 113, 136];
const OFFSETS_FROM_END: [usize; 6] = [1, 8, 9, 24, 25, 700];

/// Who needs an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Only the snapshot with this number.
    Snapshot(usize),
    /// Nobody, while its second copy is intact, or it is the slot of another key.
    Spare,
    /// Everybody: the slot in use.
    All,
}

#[derive(Debug, Clone)]
enum Harm {
    Flip(usize),
    Truncate(usize),
    Extend,
    Remove,
    Foreign,
    Swap(String),
}

struct Case {
    name: String,
    need: Need,
    harm: Harm,
}

/// Two unrelated snapshots in packs of their own, two more keys, and another repository.
struct Field {
    site: Site,
    trees: [PathBuf; 2],
    pictures: [Picture; 2],
    ids: [String; 2],
    objects: BTreeMap<String, (Vec<u8>, Need)>,
    foreign: BTreeMap<String, Vec<u8>>,
}

impl Field {
    fn new() -> Self {
        let (site, foreign) = (Site::new(), Site::new());
        let trees = [site.path("tree-0"), site.path("tree-1")];
        let own_slot = objects(&site.repo).into_keys().find(|name| name.starts_with("keys/"));
        let mut known: BTreeMap<String, (Vec<u8>, Need)> = BTreeMap::new();
        let mut note = |need: Need| {
            for (name, bytes) in objects(&site.repo) {
                let need = if Some(&name) == own_slot.as_ref() { Need::All } else { need };
                known.entry(name).or_insert((bytes, need));
            }
        };
        note(Need::Spare);
        let mut taken = Vec::new();
        for (number, tree) in trees.iter().enumerate() {
            grow(tree, 20 + number as u64);
            taken.push(site.backup(tree));
            note(Need::Snapshot(number));
        }
        for key in ["second", "third"] {
            let path = site.path(key);
            site.home(&["key", "add", "--new-key-file", path.to_str().unwrap()]).expect(0);
        }
        note(Need::Spare);
        grow(&foreign.path("tree"), 30);
        foreign.backup(&foreign.path("tree"));
        for key in ["second", "third"] {
            let path = foreign.path(key);
            foreign.home(&["key", "add", "--new-key-file", path.to_str().unwrap()]).expect(0);
        }
        let pictures = [Picture::of(&trees[0]), Picture::of(&trees[1])];
        let foreign = objects(&foreign.repo);
        let [first, second] = <[String; 2]>::try_from(taken).unwrap();
        Self { site, trees, pictures, ids: [first, second], objects: known, foreign }
    }

    fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for (name, (bytes, need)) in &self.objects {
            let len = bytes.len();
            let from_end = OFFSETS_FROM_END.iter().filter_map(|back| len.checked_sub(*back));
            let mut at: Vec<usize> = OFFSETS.into_iter().chain(from_end).chain([len / 2]).collect();
            at.sort_unstable();
            at.dedup();
            let cut = [0, 1, len / 2, len - 1].map(Harm::Truncate);
            let others =
                self.objects.keys().filter(|other| *other > name && kind(other) == kind(name));
            let swaps = others.filter(|other| self.objects[*other].0 != *bytes).take(2);
            let harms = at.into_iter().map(Harm::Flip).chain(cut);
            let harms = harms.chain([Harm::Extend, Harm::Remove, Harm::Foreign]);
            for harm in harms.chain(swaps.cloned().map(Harm::Swap)) {
                cases.push(Case { name: name.clone(), need: *need, harm });
            }
        }
        cases
    }

    /// The bytes that stand under the case's names after the harm; none: removed.
    fn harmed(&self, case: &Case) -> Vec<(String, Option<Vec<u8>>)> {
        let name = case.name.clone();
        let mut bytes = self.objects[&name].0.clone();
        match &case.harm {
            Harm::Flip(at) => bytes[*at] ^= 0x41,
            Harm::Truncate(len) => bytes.truncate(*len),
            Harm::Extend => bytes.push(0),
            Harm::Remove => return vec![(name, None)],
            Harm::Foreign => {
                let alike = self.foreign.iter().find(|(other, _)| kind(other) == kind(&name));
                bytes = alike.unwrap().1.clone();
            }
            Harm::Swap(other) => {
                let theirs = self.objects[other].0.clone();
                return vec![(name, Some(theirs)), (other.clone(), Some(bytes))];
            }
        }
        vec![(name, Some(bytes))]
    }
}

/// The folder of a name: what kind of object it is. Second copies are of the kind of the first.
fn kind(name: &str) -> &str {
    name.split_once('/').map_or("config", |(folder, _)| folder)
}

/// What tells a reader which object is meant: a hash or an id, else the name.
fn label(name: &str) -> &str {
    match kind(name) {
        "config" | "rings" => name.strip_suffix(".copy").unwrap_or(name),
        "snapshots" => name.rsplit('/').next().and_then(|it| it.split('-').next()).unwrap(),
        _ => name.rsplit('/').next().unwrap(),
    }
}

/// Runs every command on `site`, whose repository has the harm of `case`; what is not as promised.
fn judge(field: &Field, site: &Site, case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut promise = |holds: bool, what: &str, ran: &Ran| {
        if !holds {
            let Case { name, harm, .. } = case;
            let Ran { code, err, .. } = ran;
            wrong.push(format!("{name} {harm:?}: {what}: exit {code:?}: {err}"));
        }
    };
    let is_honest = |ran: &Ran| ran.code.is_some_and(|code| HONEST.contains(&code));
    let swapped = matches!(case.harm, Harm::Swap(_));
    let removed = matches!(case.harm, Harm::Remove);
    // A slot of another key is sealed to that key; a snapshot's absence shows only to who remembers it.
    let hidden = (kind(&case.name) == "keys" && case.need == Need::Spare && !swapped)
        || (kind(&case.name) == "snapshots" && removed);
    for command in ["check", "verify"] {
        let ran = site.stranger(&[command]);
        let reads_enough = command == "verify" || kind(&case.name) != "packs";
        let told = is_honest(&ran) || (ran.code == Some(0) && (hidden || !reads_enough));
        promise(told, &format!("{command} tells damage"), &ran);
        // Nobody knows the name of a segment that is gone: the chunks it told of are named.
        let nameless = removed && kind(&case.name) == "index";
        // A slot whose salt is damaged cannot be told from one of another credential.
        let named = ran.err.contains(label(&case.name)) || nameless || ran.code == Some(12);
        promise(ran.code == Some(0) || named, &format!("{command} names the object"), &ran);
    }
    let listing = site.stranger(&["snapshots"]);
    let listed = if listing.code == Some(0) { ids(&listing.out) } else { Vec::new() };
    promise(listing.code == Some(0) || is_honest(&listing), "snapshots is honest", &listing);
    for number in [0, 1] {
        let untouched = match case.need {
            Need::Snapshot(other) => other != number && !swapped,
            Need::Spare => kind(&case.name) != "keys" || !swapped,
            Need::All => false,
        };
        promise(!untouched || listed.contains(&field.ids[number]), "stays listed", &listing);
        let (ran, restored) = site.restore(&field.ids[number], &field.trees[number]);
        let wrong_paths = restored.wrong_in(&field.pictures[number]);
        promise(wrong_paths.is_empty(), &format!("no wrong bytes: {wrong_paths:?}"), &ran);
        let complete = restored == field.pictures[number];
        promise(ran.code != Some(0) || complete, "success means complete", &ran);
        promise(!untouched || ran.code == Some(0), "what does not need it restores", &ran);
        let gone = ran.code == Some(1) && ran.err.contains(&field.ids[number]);
        promise(ran.code == Some(0) || is_honest(&ran) || gone, "restore is honest", &ran);
    }
    wrong
}

#[test]
fn every_harm_to_every_object_is_told_and_touches_only_what_needs_it() {
    let field = Field::new();
    let cases = field.cases();
    assert!(cases.len() >= 500, "{} cases", cases.len());
    for wanted in ["config", "keys", "rings", "packs", "index", "snapshots"] {
        assert!(cases.iter().any(|case| kind(&case.name) == wanted), "no case of {wanted}");
    }
    let next = Mutex::new(cases.iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let site = Site::empty();
                copy_folder(&field.site.repo, &site.repo);
                std::fs::copy(field.site.path("key"), site.path("key")).unwrap();
                while let Some(case) = { next.lock().unwrap().next() } {
                    let harmed = field.harmed(case);
                    for (name, bytes) in &harmed {
                        match bytes {
                            Some(bytes) => overwrite(&site.repo, name, bytes),
                            None => std::fs::remove_file(site.repo.join(name)).unwrap(),
                        }
                    }
                    let wrong = judge(&field, &site, case);
                    failures.lock().unwrap().extend(wrong);
                    for (name, _) in &harmed {
                        overwrite(&site.repo, name, &field.objects[name].0);
                    }
                }
                // The canary: without harm every command is content.
                site.stranger(&["verify"]).expect(0);
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let shown = failures.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {} cases:\n{shown}", failures.len(), cases.len());
}
