//! What of each pack is needed.

use std::collections::HashSet;

use super::mark::stop_if_asked;
use super::plan::PackUse;
use super::stored::{Stored, places};
use crate::error::Result;
use crate::index::Marks;
use crate::model::{Class, PackId, PackNumber, Purpose};
use crate::observe::Observer;
use crate::repo::{Repository, pack_name};

/// Looks at every pack in the store, and those that it has lost. Copies that are not to be kept count as garbage. A pack
/// is young if the store says that it was stored after `young_ns`.
///
/// # Errors
/// Those of the store.
pub(super) fn of_packs(
    (repo, observer): (&Repository, &dyn Observer),
    stored: &Stored,
    live: &Marks<'_>,
    is_deleted: &dyn Fn(&PackId) -> bool,
    young_ns: i64,
) -> Result<Vec<PackUse>> {
    let any = |_: PackNumber| true;
    let mut uses = Vec::new();
    stored.each_pack(repo, &mut |number, pack| {
        stop_if_asked(observer)?;
        let (mut plain_len, mut live_len) = (0, 0);
        for frame in pack.footer.views() {
            for (id, place) in places(number, &frame) {
                plain_len += u64::from(place.len);
                if live.contains(&id) && stored.copy(&id, &any) == Some(place) {
                    live_len += u64::from(place.len);
                }
            }
        }
        uses.push(PackUse {
            id: pack.id,
            number: Some(number),
            pack_len: pack.pack_len,
            plain_len,
            live_len,
            class: pack.footer.class,
            purpose: pack.footer.purpose,
            is_young: false,
        });
        Ok(())
    })?;
    let known: HashSet<PackId> = uses.iter().map(|pack| pack.id).collect();
    // No segment names these, or what names them does not fit.
    let unknown = stored.listed.iter().filter(|(id, _)| !known.contains(id));
    uses.extend(unknown.filter(|(id, _)| !is_deleted(id)).map(|(id, len)| useless(*id, *len)));
    let may_go = |pack: &&mut PackUse| {
        pack.live_len < pack.plain_len || pack.live_len == 0 || pack.is_small()
    };
    for pack in uses.iter_mut().filter(may_go) {
        let stored_ns = repo.store().modified_ns(&pack_name(pack.id))?;
        pack.is_young = stored_ns.is_some_and(|at| at > young_ns);
    }
    // Segments name these, and the store has lost them: given up, they leave the segments.
    let named: HashSet<PackId> = stored.index.packs().map(|(_, pack)| pack.id).collect();
    let is_lost = |id: &PackId| {
        !is_deleted(id) && stored.listed.binary_search_by_key(id, |(listed, _)| *listed).is_err()
    };
    uses.extend(named.into_iter().filter(is_lost).map(|id| useless(id, 0)));
    Ok(uses)
}

/// A pack whose copies do not count.
fn useless(id: PackId, pack_len: u64) -> PackUse {
    PackUse {
        id,
        number: None,
        pack_len,
        plain_len: 0,
        live_len: 0,
        class: Class::Ordinary,
        purpose: Purpose::Data,
        is_young: false,
    }
}
