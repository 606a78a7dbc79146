//! Loads what the fence decides about: generations, closes and forgets.

use super::Repository;
use crate::crypto::{Place, object_hash};
use crate::error::{Error, Kind, Result};
use crate::fence::{Forgotten, View};
use crate::format;
use crate::limits;
use crate::model::{
    Close, Fate, Features, Forget, Generation, HashedNumber, HostId, ObjectHash, ObjectKind,
    SnapshotId,
};

impl Repository {
    /// Reads the generations as they are now: the closes from the highest down to the last full one,
    /// each with its generation, and that they name each other.
    ///
    /// # Errors
    /// `Corrupt` when a close or generation is damaged or missing, `Unsupported` when a generation
    /// carries a feature a reader must know, and those of the store.
    pub fn view(&self) -> Result<View> {
        let numbers = self.generation_numbers()?;
        let last_closed = numbers.closed.last().copied().unwrap_or(0);
        let (closes, head, mut features) = self.load_closes(last_closed)?;
        let mut head = head;
        let mut open = None;
        if let Some(number) = numbers.open(last_closed) {
            let (generation, named) = self.load_generation(number)?;
            let before = head.map_or(ObjectHash([0; 32]), |head| head.hash);
            if generation.previous != before {
                return Err(broken_chain(&format!("gen/{number}")));
            }
            head = Some(named);
            features.add(generation.features);
            open = Some(generation);
        }
        super::open::refuse_features(features.read, "gen", "read")?;
        View::fold(&closes, open.as_ref(), head, features)
    }

    /// What generation `number` settled when it was closed; 0 gives nothing.
    ///
    /// # Errors
    /// As [`Repository::view`].
    pub fn view_at(&self, number: u64) -> Result<View> {
        let (closes, head, features) = self.load_closes(number)?;
        View::fold(&closes, None, head, features)
    }

    /// The closes up to `last_closed`, from the last full one on, ascending.
    ///
    /// # Errors
    /// As [`Repository::view`].
    pub fn closes(&self, last_closed: u64) -> Result<Vec<Close>> {
        Ok(self.load_closes(last_closed)?.0)
    }

    fn load_closes(
        &self,
        last_closed: u64,
    ) -> Result<(Vec<Close>, Option<HashedNumber>, Features)> {
        let mut closes: Vec<Close> = Vec::new();
        let mut head = None;
        let mut features = Features::default();
        // What the close above says of the one below.
        let mut previous: Option<ObjectHash> = None;
        for number in (1..=last_closed).rev() {
            let (close, hash) = self.load_close(number)?;
            let (generation, named) = self.load_generation(number)?;
            if close.generation != named.hash || previous.is_some_and(|named| named != hash) {
                return Err(broken_chain(&format!("gen/{number}.close")));
            }
            head = head.or(Some(named));
            features.add(generation.features);
            previous = Some(close.previous);
            let is_full = close.full;
            closes.push(close);
            if is_full {
                break;
            }
        }
        closes.reverse();
        Ok((closes, head, features))
    }

    /// The highest generation and the numbers of those that are closed.
    ///
    /// # Errors
    /// `Corrupt` when there are gaps, and those of the store.
    pub fn generation_count(&self) -> Result<(u64, u64)> {
        let numbers = self.generation_numbers()?;
        let last = |list: &[u64]| list.last().copied().unwrap_or(0);
        Ok((last(&numbers.made), last(&numbers.closed)))
    }

    /// True if generation `number` exists: the last look of a backup.
    ///
    /// # Errors
    /// Those of the store.
    pub fn generation_exists(&self, number: u64) -> Result<bool> {
        Ok(self.store.len(&format!("gen/{number}"))?.is_some())
    }

    /// Loads the forgets of the snapshots that `of` names: others, of snapshots long gone, may be many.
    ///
    /// # Errors
    /// `Corrupt` for a damaged forget, and those of the store.
    pub fn forgotten(&self, of: &dyn Fn(&SnapshotId) -> bool) -> Result<Forgotten> {
        let mut names = self.forget_names()?;
        names.retain(|(sid, _)| of(sid));
        let mut forgets = Vec::new();
        for name in &names {
            if let Some(forget) = self.forgets.get(name) {
                forgets.push(forget);
                continue;
            }
            let (sid, k) = *name;
            match self.load_forget(sid, k) {
                Ok(forget) => {
                    self.forgets.insert(*name, &forget);
                    forgets.push(forget);
                }
                // A prune drops those of snapshots that are long gone, and all of a snapshot or none.
                Err(_) if self.store.len(&super::forget_name(&sid, k))?.is_none() => {
                    let what = format!("forgets of {sid} were dropped meanwhile; run it again");
                    return Err(Error::new(Kind::Unavailable, what));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Forgotten::new(forgets))
    }

    /// The forgets in the store: sid and k.
    ///
    /// # Errors
    /// Those of the store.
    pub fn forget_names(&self) -> Result<Vec<(SnapshotId, u64)>> {
        let mut names: Vec<(SnapshotId, u64)> = Vec::new();
        self.store.list("forgets/", &mut |name, _| {
            let parsed = name.strip_prefix("forgets/").and_then(|rest| {
                let (sid, k) = rest.split_once('.')?;
                Some((sid.parse::<SnapshotId>().ok()?, parse_number(k)?))
            });
            names.extend(parsed);
            Ok(())
        })?;
        Ok(names)
    }

    fn load_forget(&self, sid: SnapshotId, k: u64) -> Result<Forget> {
        let (name, place) = (super::forget_name(&sid, k), Place::forget(&sid, k));
        let kind = (ObjectKind::Forget, &place);
        let decode = |cbor: &[u8]| Ok(format::forget::decode(cbor)?);
        let author = |forget: &Forget| forget.author;
        let (forget, _) =
            self.load_control(&name, kind, limits::CONTROL_LEN_MAX, decode, author)?;
        same(&name, (forget.sid, forget.k) == (sid, k)).map(|()| forget)
    }

    /// Loads a generation, with the name by which others refer to it.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged or missing, and those of the store.
    pub fn load_generation(&self, number: u64) -> Result<(Generation, HashedNumber)> {
        let (name, place) = (format!("gen/{number}"), Place::number(number));
        let kind = (ObjectKind::Generation, &place);
        let decode = |cbor: &[u8]| Ok(format::generation::decode(cbor)?);
        let author = |generation: &Generation| generation.author;
        let len_max = limits::GENERATION_LEN_MAX;
        let (generation, hash) = self.load_control(&name, kind, len_max, decode, author)?;
        same(&name, generation.number == number)?;
        Ok((generation, HashedNumber { number, hash }))
    }

    /// Loads a close, or its second copy.
    ///
    /// # Errors
    /// `Corrupt` when both are damaged or missing, and those of the store.
    pub fn load_close(&self, number: u64) -> Result<(Close, ObjectHash)> {
        let name = format!("gen/{number}.close");
        let load = |name: &str| -> Result<(Close, ObjectHash)> {
            let place = Place::number(number);
            let kind = (ObjectKind::Close, &place);
            let decode = |cbor: &[u8]| Ok(format::generation::decode_close(cbor)?);
            let author = |close: &Close| close.author;
            let len_max = limits::GENERATION_LEN_MAX;
            let (close, hash) = self.load_control(name, kind, len_max, decode, author)?;
            same(name, close.number == number).map(|()| (close, hash))
        };
        load(&name).or_else(|first| load(&format!("{name}.copy")).map_err(|_| first))
    }

    /// Loads the fate of a generation; none if it has none yet.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged, and those of the store.
    pub fn load_fate(&self, number: u64) -> Result<Option<Fate>> {
        let (name, place) = (format!("gen/{number}.fate"), Place::number(number));
        if self.store.len(&name)?.is_none() {
            return Ok(None);
        }
        let kind = (ObjectKind::Fate, &place);
        let decode = |cbor: &[u8]| Ok(format::generation::decode_fate(cbor)?);
        let author = |fate: &Fate| fate.author;
        let (fate, _) = self.load_control(&name, kind, limits::CONTROL_LEN_MAX, decode, author)?;
        same(&name, fate.number == number).map(|()| Some(fate))
    }

    /// Reads, opens and decodes one signed object; gives its hash too. That it is missing is damage:
    /// something else says that it exists.
    fn load_control<T>(
        &self,
        name: &str,
        kind: (ObjectKind, &Place),
        len_max: u64,
        decode: impl FnOnce(&[u8]) -> Result<T>,
        author: impl FnOnce(&T) -> HostId,
    ) -> Result<(T, ObjectHash)> {
        let bytes = self.store.get(name, len_max).map_err(|error| match error.kind() {
            Kind::NotFound => Error::new(Kind::Corrupt, error.to_string()),
            _ => error,
        })?;
        let body = self.open_by_author(kind, &bytes, decode, author);
        Ok((body.map_err(|error| error.context(name))?, ObjectHash(object_hash(&bytes))))
    }

    /// The numbers in use, without gaps.
    fn generation_numbers(&self) -> Result<Numbers> {
        let numbers = self.list_generations()?;
        if numbers.check().is_ok() {
            return Ok(numbers);
        }
        // A listing is not of one moment: a prune may have put a generation behind it and its close
        // ahead of it. What still does not fit the second time is damage.
        let numbers = self.list_generations()?;
        numbers.check().map(|()| numbers)
    }

    fn list_generations(&self) -> Result<Numbers> {
        let mut numbers = Numbers::default();
        self.store.list("gen/", &mut |name, _| {
            let Some(rest) = name.strip_prefix("gen/") else { return Ok(()) };
            if let Some(number) = parse_number(rest) {
                numbers.made.push(number);
            } else if let Some(number) = rest
                .strip_suffix(".close")
                .or_else(|| rest.strip_suffix(".close.copy"))
                .and_then(parse_number)
            {
                numbers.closed.push(number);
            }
            Ok(())
        })?;
        numbers.made.sort_unstable();
        numbers.closed.sort_unstable();
        numbers.closed.dedup();
        Ok(numbers)
    }
}

/// Numbers of the generation objects a listing showed, ascending.
#[derive(Default)]
struct Numbers {
    made: Vec<u64>,
    closed: Vec<u64>,
}

impl Numbers {
    /// Generations have no gaps, and only the highest may be open.
    fn check(&self) -> Result<()> {
        let ascend = |list: &[u64]| list.iter().zip(1..).all(|(number, wanted)| *number == wanted);
        let open = self.made.len().checked_sub(self.closed.len());
        if ascend(&self.made) && ascend(&self.closed) && open.is_some_and(|count| count <= 1) {
            return Ok(());
        }
        Err(Error::new(Kind::Corrupt, "gen: a generation or a close is missing"))
    }

    fn open(&self, last_closed: u64) -> Option<u64> {
        self.made.last().copied().filter(|number| *number > last_closed)
    }
}

fn broken_chain(name: &str) -> Error {
    Error::new(Kind::Corrupt, format!("{name}: does not fit what stands before it"))
}

fn same(name: &str, is_same: bool) -> Result<()> {
    if is_same {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, format!("{name}: its body names another object")))
}

/// A decimal number without leading zeros.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}
