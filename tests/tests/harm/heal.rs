//! The next backup stores again what damage took, while the source still has it.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{
    Picture, Site, backup_arguments, grow, noise, objects, overwrite, put_back, table,
};

#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip,
    Truncate,
    Remove,
}

fn harm(site: &Site, name: &str, harm: Harm) {
    let mut bytes = fs::read(site.repo.join(name)).unwrap();
    match harm {
        Harm::Flip => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        Harm::Truncate => bytes.truncate(bytes.len() / 2),
        Harm::Remove => return fs::remove_file(site.repo.join(name)).unwrap(),
    }
    overwrite(&site.repo, name, &bytes);
}

fn names(site: &Site, folder: &str) -> Vec<String> {
    objects(&site.repo).into_keys().filter(|name| name.starts_with(folder)).collect()
}

/// A repository with two snapshots of one growing tree: the second takes most from the first's packs.
fn two_snapshots() -> (Site, PathBuf, Vec<(String, Picture)>) {
    let site = Site::new();
    let tree = site.path("tree");
    let mut taken = Vec::new();
    for seed in [40, 41] {
        if seed == 40 {
            grow(&tree, seed);
        }
        fs::write(tree.join(format!("folder/of {seed}")), noise(seed + 100, 60_000)).unwrap();
        fs::write(tree.join("table"), table(seed)).unwrap();
        taken.push((site.backup(&tree), Picture::of(&tree)));
    }
    (site, tree, taken)
}

/// Backs up the unchanged tree; the new snapshot must restore, and verify must not name it.
#[track_caller]
fn assert_heals(site: &Site, tree: &Path, picture: &Picture, what: &str) {
    let ran = site.home(&backup_arguments(tree));
    assert_eq!(ran.code, Some(0), "{what}: {}", ran.err);
    let id = ran.snapshot_id().unwrap();
    let (restored, found) = site.restore(&id, tree);
    assert_eq!(restored.code, Some(0), "{what}: {}", restored.err);
    assert_eq!(found, *picture, "{what}");
    let verified = site.stranger(&["verify"]);
    assert!(!verified.out.contains(&id) && !verified.err.contains(&id), "{what}: {}", verified.err);
    // Once healed nothing is stored again.
    let next = site.home(&backup_arguments(tree));
    assert!(next.out.contains(r#""data_added":0"#), "{what}: stored again: {}", next.out);
    site.assert_restores(&next.snapshot_id().unwrap(), tree, picture);
}

#[test]
fn a_damaged_pack_is_healed_by_verify_and_the_next_backup() {
    let (site, tree, taken) = two_snapshots();
    put_back(&site.repo, &site.path("kept"));
    let packs = names(&site, "packs/");
    assert!(packs.len() >= 4, "{packs:?}");
    for (pack, kind) in packs.iter().flat_map(|p| [Harm::Flip, Harm::Truncate].map(|h| (p, h))) {
        put_back(&site.path("kept"), &site.repo);
        let _ = fs::remove_dir_all(site.path("state"));
        let _ = fs::remove_dir_all(site.path("state.cache"));
        harm(&site, pack, kind);
        let hash = pack.rsplit('/').next().unwrap();
        let found = site.home(&["verify"]).expect(4);
        assert!(found.err.contains(hash), "{pack} {kind:?}: {}", found.err);
        assert!(
            taken.iter().any(|(id, _)| found.err.contains(id)),
            "{pack} {kind:?}: no snapshot: {}",
            found.err
        );
        assert_heals(&site, &tree, &taken[1].1, &format!("{pack} {kind:?}"));
        let still = site.home(&["verify"]).expect(4);
        assert!(still.err.contains(hash), "{pack} {kind:?}: still a finding");
    }
}

#[test]
fn a_missing_pack_is_healed_by_the_next_backup_alone() {
    let (site, tree, taken) = two_snapshots();
    put_back(&site.repo, &site.path("kept"));
    for (pack, kind) in
        names(&site, "packs/").iter().flat_map(|p| [Harm::Remove, Harm::Truncate].map(|h| (p, h)))
    {
        put_back(&site.path("kept"), &site.repo);
        let _ = fs::remove_dir_all(site.path("state"));
        let _ = fs::remove_dir_all(site.path("state.cache"));
        harm(&site, pack, kind);
        assert_heals(&site, &tree, &taken[1].1, &format!("{pack} {kind:?}"));
    }
}

#[test]
fn a_lost_index_segment_is_healed_by_the_next_backup_alone() {
    let (site, tree, taken) = two_snapshots();
    put_back(&site.repo, &site.path("kept"));
    for (segment, kind) in names(&site, "index/")
        .iter()
        .flat_map(|s| [Harm::Remove, Harm::Truncate, Harm::Flip].map(|h| (s, h)))
    {
        put_back(&site.path("kept"), &site.repo);
        let _ = fs::remove_dir_all(site.path("state"));
        let _ = fs::remove_dir_all(site.path("state.cache"));
        harm(&site, segment, kind);
        assert_heals(&site, &tree, &taken[1].1, &format!("{segment} {kind:?}"));
    }
}

#[test]
fn a_damaged_record_stops_no_backup_and_is_written_again_by_verify() {
    let (site, tree, taken) = two_snapshots();
    let pack = names(&site, "packs/").remove(0);
    harm(&site, &pack, Harm::Flip);
    site.home(&["verify"]).expect(4);
    let record = names(&site, "records/").remove(0);
    put_back(&site.repo, &site.path("kept"));
    for kind in [Harm::Flip, Harm::Truncate] {
        put_back(&site.path("kept"), &site.repo);
        let _ = fs::remove_dir_all(site.path("state"));
        harm(&site, &record, kind);
        let hash = record.rsplit('/').next().unwrap();
        let checked = site.home(&["check"]).expect(4);
        assert!(checked.err.contains(hash), "{kind:?}: {}", checked.err);
        let ran = site.home(&backup_arguments(&tree)).expect(0);
        assert!(ran.err.contains(hash), "{kind:?}: {}", ran.err);
        site.home(&["verify"]).expect(4);
        assert_eq!(names(&site, "records/").len(), 2, "{kind:?}: written down again");
        assert_heals(&site, &tree, &taken[1].1, &format!("{kind:?}"));
    }
}

#[test]
fn damage_of_what_two_hosts_share_is_healed_without_the_cache_of_either() {
    let (site, tree, taken) = two_snapshots();
    let pack = names(&site, "packs/").remove(0);
    harm(&site, &pack, Harm::Remove);
    let ran = site.stranger(&backup_arguments(&tree)).expect(0);
    site.assert_restores(&ran.snapshot_id().unwrap(), &tree, &taken[1].1);
    let id = site.backup(&tree);
    site.assert_restores(&id, &tree, &taken[1].1);
}
