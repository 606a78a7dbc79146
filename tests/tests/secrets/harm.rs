//! Damage of secrets is seen without their keys, told without their names, and healed.

use std::fs;
use std::path::{Path, PathBuf};

use super::{key_without_secrets, with_key};
use crate::support::{Scene, below, make};

fn packs(scene: &Scene) -> Vec<PathBuf> {
    let mut packs = Vec::new();
    for folder in fs::read_dir(scene.repo.join("packs")).into_iter().flatten() {
        let folder = fs::read_dir(folder.unwrap().path()).unwrap();
        packs.extend(folder.map(|pack| pack.unwrap().path()));
    }
    packs
}

/// Packs of class S: those that hold more after a backup of secrets alone, less the list of ids.
fn secret_packs(scene: &Scene, backup: impl Fn()) -> Vec<PathBuf> {
    let before = packs(scene);
    backup();
    let mut new: Vec<_> = packs(scene).into_iter().filter(|pack| !before.contains(pack)).collect();
    assert_eq!(new.len(), 3, "data, nodes, and the lists of ids");
    // Data and nodes: the lists are the one whose loss leaves the secrets whole.
    new.retain(|pack| {
        let kept = fs::read(pack).unwrap();
        fs::remove_file(pack).unwrap();
        let is_needed = scene.coffer(["cat", &format!("latest:{}", secret(scene))]).code != Some(0);
        fs::write(pack, kept).unwrap();
        is_needed
    });
    assert_eq!(new.len(), 2);
    new
}

fn secret(scene: &Scene) -> String {
    scene.path("vault/canary-name").to_str().unwrap().to_owned()
}

fn set_writable(path: &Path) {
    make::mode(path, 0o644);
}

#[test]
fn harm_is_told_with_and_without_the_keys_and_healed_by_the_next_backup() {
    let scene = Scene::in_memory();
    let file = make::file(&scene.path("vault"), "canary-name", make::noise(8, 60_000));
    let key = key_without_secrets(&scene);
    let vault = scene.path("vault");
    let args = ["backup", "--secrets", vault.to_str().unwrap()];
    let sealed = secret_packs(&scene, || drop(scene.coffer(args).ok()));
    for pack in &sealed {
        let kept = fs::read(pack).unwrap();
        set_writable(pack);
        for flip in [60, kept.len() / 2, kept.len() - 20] {
            let mut bytes = kept.clone();
            bytes[flip] ^= 1;
            fs::write(pack, &bytes).unwrap();
            for key in [&key, &scene.key] {
                let run = with_key(&scene, key, &["--json", "verify"]).fails_with(4);
                let said = run.text() + &run.errors();
                let name = pack.file_name().unwrap().to_str().unwrap();
                assert!(said.contains(name), "{said}");
                assert!(!said.contains("canary-name"), "{said}");
            }
        }
        fs::write(pack, &kept[..kept.len() - 1]).unwrap();
        with_key(&scene, &key, &["check"]).fails_with(4);
        fs::remove_file(pack).unwrap();
        for key in [&key, &scene.key] {
            let run = with_key(&scene, key, &["check"]).fails_with(4);
            assert!(!(run.text() + &run.errors()).contains("canary-name"), "{}", run.errors());
        }
        let id = scene.coffer([&["--json"][..], &args].concat()).ok().snapshot_id();
        let target = scene.fresh_target();
        scene.restore_into(&id, &target, &[]).ok();
        assert_eq!(fs::read(below(&target, &file)).unwrap(), fs::read(&file).unwrap());
    }
}
