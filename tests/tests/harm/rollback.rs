//! An older copy of the repository put back: who remembers more refuses it, who does not can read it.

use std::fs;

use super::support::{Picture, Ran, Site, backup_arguments, grow, put_back};

/// Asserts that every command refuses the repository as rolled back, and tells the way out.
#[track_caller]
fn assert_refused(site: &Site) {
    let tree = site.path("tree");
    let target = site.path("never");
    let commands: [&[&str]; 6] = [
        &["snapshots"],
        &["check"],
        &["verify"],
        &backup_arguments(&tree),
        &["restore", "latest", "--target", target.to_str().unwrap()],
        &["key", "list"],
    ];
    for command in commands {
        let Ran { code, err, .. } = site.home(command);
        assert_eq!(code, Some(6), "{command:?}: {err}");
        assert!(err.contains("remove") && err.contains("seen"), "{command:?}: no way out: {err}");
    }
    assert!(!target.exists(), "a refused restore wrote");
}

#[test]
fn a_store_put_back_to_before_a_backup_is_refused_by_who_remembers_and_read_by_others() {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 60);
    let first = (site.backup(&tree), Picture::of(&tree));
    put_back(&site.repo, &site.path("older"));
    fs::write(tree.join("later"), "later").unwrap();
    site.backup(&tree);
    put_back(&site.path("older"), &site.repo);
    assert_refused(&site);
    assert_eq!(site.listed(), [first.0.as_str()]);
    site.assert_restores(&first.0, &tree, &first.1);
    site.stranger(&["check"]).expect(0);
    // The way out works: the file it names is removed, and the host goes on.
    let refusal = site.home(&["snapshots"]).err;
    let start = refusal.find("remove ").unwrap() + "remove ".len();
    let seen = refusal[start..].split(" and go on").next().unwrap();
    fs::remove_file(seen).unwrap();
    let next = site.backup(&tree);
    site.assert_restores(&next, &tree, &Picture::of(&tree));
}

#[test]
fn a_snapshot_removed_without_a_forget_is_refused_by_the_host_that_made_it() {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 61);
    site.backup(&tree);
    fs::remove_dir_all(site.repo.join("snapshots")).unwrap();
    assert_refused(&site);
    assert!(site.listed().is_empty());
}

#[test]
fn a_store_put_back_to_before_a_change_of_keys_is_refused_by_who_remembers() {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 62);
    let id = site.backup(&tree);
    put_back(&site.repo, &site.path("older"));
    site.home(&["key", "add", "--new-key-file", site.path("new").to_str().unwrap()]).expect(0);
    put_back(&site.path("older"), &site.repo);
    assert_refused(&site);
    site.assert_restores(&id, &tree, &Picture::of(&tree));
}

#[test]
fn another_branch_of_the_keys_is_refused_by_who_remembers_the_first() {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 63);
    let id = site.backup(&tree);
    put_back(&site.repo, &site.path("older"));
    site.home(&["key", "add", "--new-key-file", site.path("new").to_str().unwrap()]).expect(0);
    put_back(&site.path("older"), &site.repo);
    let branch =
        ["key", "add", "--new-key-file", site.path("branch").to_str().unwrap()].map(str::to_owned);
    site.stranger(&branch.each_ref().map(String::as_str)).expect(0);
    assert_refused(&site);
    site.assert_restores(&id, &tree, &Picture::of(&tree));
}
