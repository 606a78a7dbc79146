//! Names of objects in the store.

use super::generations::parse_number;
use super::snapshots::parse_snapshot_name;
use crate::model::{PackId, SlotId, SnapshotId, parse_hex};

/// The name of a pack in the store.
#[must_use]
pub fn pack_name(id: PackId) -> String {
    let hash = id.to_string();
    format!("packs/{}/{hash}", hash.get(..2).unwrap_or_default())
}

/// Reads the name of a pack.
#[must_use]
pub fn parse_pack_name(name: &str) -> Option<PackId> {
    let id = name.rsplit('/').next()?.parse::<PackId>().ok()?;
    (pack_name(id) == name).then_some(id)
}

/// True if the format knows an object of this name.
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    let hash = |text: &str| parse_hex::<32>(text).is_some();
    let Some((folder, rest)) = name.split_once('/') else {
        return matches!(name, "config" | "config.copy");
    };
    let whole = rest.strip_suffix(".copy");
    match folder {
        "keys" => rest.parse::<SlotId>().is_ok(),
        "rings" => parse_number(whole.unwrap_or(rest)).is_some_and(|number| number > 0),
        "packs" => rest
            .split_once('/')
            .is_some_and(|(start, id)| hash(id) && id.starts_with(start) && start.len() == 2),
        "index" => hash(rest),
        "snapshots" => parse_snapshot_name(name).is_some(),
        "forgets" => rest
            .split_once('.')
            .is_some_and(|(sid, k)| sid.parse::<SnapshotId>().is_ok() && parse_number(k).is_some()),
        "records" => rest.split_once('/').is_some_and(|(_, id)| hash(id)),
        "gen" => {
            let close = whole.and_then(|rest| rest.strip_suffix(".close"));
            let number = close
                .or_else(|| rest.strip_suffix(".close"))
                .or_else(|| rest.strip_suffix(".fate"))
                .unwrap_or(rest);
            parse_number(number).is_some_and(|number| number > 0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_format_and_no_others_are_known() {
        let (hash, sid) = ("ab".repeat(32), "cd".repeat(16));
        let known = [
            "config".to_owned(),
            "config.copy".to_owned(),
            format!("keys/{sid}"),
            "rings/1".to_owned(),
            "rings/12.copy".to_owned(),
            format!("packs/ab/{hash}"),
            format!("index/{hash}"),
            format!("snapshots/0/{sid}-{hash}"),
            format!("forgets/{sid}.0"),
            format!("records/bad-pack/{hash}"),
            "gen/1".to_owned(),
            "gen/1.close".to_owned(),
            "gen/1.close.copy".to_owned(),
            "gen/1.fate".to_owned(),
        ];
        for name in known {
            assert!(is_object_name(&name), "{name}");
        }
        let unknown = [
            "lock".to_owned(),
            "rings/0".to_owned(),
            "rings/01".to_owned(),
            format!("packs/ac/{hash}"),
            format!("index/{}", hash.to_uppercase()),
            format!("snapshots/{sid}-{hash}"),
            "gen/1.closed".to_owned(),
            "data/x".to_owned(),
        ];
        for name in unknown {
            assert!(!is_object_name(&name), "{name}");
        }
    }
}
