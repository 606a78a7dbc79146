//! What is left out of a backup, by each kind of exclude.

use std::fs::{self, File};

use crate::support::{Scene, is_root, make, tree};

/// The paths below the source folder in a snapshot made with `options`.
fn stored(scene: &Scene, options: &[&str]) -> Vec<String> {
    let run = scene.try_backup(options).ok();
    let restored = scene.restored(&run.snapshot_id());
    tree::of(&restored).into_keys().filter(|name| !name.is_empty()).collect()
}

fn sample(scene: &Scene) {
    for name in ["a.txt", "a.log", "keep.log", "dir/b.log", "dir/c.txt", "other/dir/d.txt"] {
        make::file(&scene.source, name, name);
    }
}

#[test]
fn excludes_use_the_grammar_of_gitignore() {
    let scene = Scene::new();
    sample(&scene);
    let all = ["/a.log", "/a.txt", "/dir", "/dir/b.log", "/dir/c.txt", "/keep.log"];
    let all = [&all[..], &["/other", "/other/dir", "/other/dir/d.txt"]].concat();
    let without = |gone: &[&str]| -> Vec<String> {
        let stays = |name: &&&str| !gone.iter().any(|gone| name.starts_with(gone));
        all.iter().filter(stays).map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(stored(&scene, &[]), without(&[]));
    assert_eq!(
        stored(&scene, &["-e", "*.log", "--exclude", "!keep.log"]),
        without(&["/a.log", "/dir/b.log"])
    );
    assert_eq!(stored(&scene, &["-e", "dir/"]), without(&["/dir", "/other/dir"]));
    let anchored = format!("{}/dir", scene.source.display());
    assert_eq!(stored(&scene, &["-e", &anchored]), without(&["/dir"]));
    assert_eq!(
        stored(&scene, &["-e", "**/dir/*.txt"]),
        without(&["/dir/c.txt", "/other/dir/d.txt"])
    );
    assert_eq!(stored(&scene, &["-e", "[ab].???"]), {
        without(&["/a.log", "/a.txt", "/dir/b.log"])
    });
}

#[test]
fn a_file_of_patterns_may_hold_comments_and_comes_before_the_options() {
    let scene = Scene::new();
    sample(&scene);
    let file = scene.path("patterns");
    fs::write(&file, "# a comment\n\n*.txt\n*.log\n").unwrap();
    let file = file.to_str().unwrap();
    let found = stored(&scene, &["--exclude-file", file, "-e", "!keep.log"]);
    assert_eq!(found, ["/dir", "/keep.log", "/other", "/other/dir"]);
    let missing = scene.path("missing");
    let missing = missing.to_str().unwrap();
    let run = scene.try_backup(&["--exclude-file", missing]).fails_with(2);
    assert!(run.errors().contains("missing"), "{run:?}");
}

#[test]
fn an_unsound_pattern_stores_nothing() {
    let scene = Scene::new();
    sample(&scene);
    for pattern in ["{a", "", "# comment"] {
        let run = scene.try_backup(&["-e", pattern]);
        let run = run.fails_with(2);
        assert!(run.errors().contains("pattern"), "{pattern:?}: {}", run.errors());
    }
    assert!(scene.listed().is_empty());
}

#[test]
fn a_folder_with_a_marker_keeps_only_its_own_entry() {
    let scene = Scene::new();
    make::file(&scene.source, "cache/.nobackup", "");
    make::file(&scene.source, "cache/deep/file", "x");
    make::file(&scene.source, "data/file", "x");
    let found = stored(&scene, &["--exclude-if-present", ".nobackup"]);
    assert_eq!(found, ["/cache", "/data", "/data/file"]);
}

#[test]
fn only_a_signed_cache_tag_excludes() {
    let scene = Scene::new();
    let signature = "Signature: 8a477f597d28d172789f06886806bc55";
    make::file(&scene.source, "cache/CACHEDIR.TAG", format!("{signature}\n# made by a tool"));
    make::file(&scene.source, "cache/deep/file", "x");
    make::file(&scene.source, "fake/CACHEDIR.TAG", "Signature: something else");
    make::file(&scene.source, "fake/file", "x");
    let found = stored(&scene, &["--exclude-caches"]);
    assert_eq!(
        found,
        ["/cache", "/cache/CACHEDIR.TAG", "/fake", "/fake/CACHEDIR.TAG", "/fake/file"]
    );
}

#[test]
fn files_larger_than_a_bound_are_left_out_and_folders_are_not() {
    let scene = Scene::new();
    make::file(&scene.source, "folder/small", vec![1; 1024]);
    make::file(&scene.source, "folder/large", vec![1; 1025]);
    File::create(scene.source.join("hole")).unwrap().set_len(1 << 30).unwrap();
    let found = stored(&scene, &["--exclude-larger-than", "1K"]);
    assert_eq!(found, ["/folder", "/folder/small"]);
}

#[test]
fn another_file_system_keeps_only_its_mount_point() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let mount = scene.source.join("mount");
    fs::create_dir(&mount).unwrap();
    let run = |program: &str, args: &[&std::ffi::OsStr]| {
        let status = std::process::Command::new(program).args(args).output();
        status.is_ok_and(|output| output.status.success())
    };
    let options = ["-t", "tmpfs", "none"].map(std::ffi::OsStr::new);
    if !is_root() || !run("mount", &[&options[..], &[mount.as_os_str()]].concat()) {
        return;
    }
    make::file(&mount, "inner", "on the other one");
    let crossing = scene.try_backup(&[]);
    let staying = scene.try_backup(&["-x"]);
    assert!(run("umount", &[mount.as_os_str()]), "the mount is left behind");
    let names = |run: crate::support::Run| {
        let restored = scene.restored(&run.ok().snapshot_id());
        tree::of(&restored).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names(crossing), ["", "/file", "/mount", "/mount/inner"]);
    assert_eq!(names(staying), ["", "/file", "/mount"]);
}

#[test]
fn the_repository_its_cache_and_its_state_are_never_in_a_snapshot() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let all = scene.source.parent().unwrap();
    let run = scene.coffer(["--json", "backup", all.to_str().unwrap()]).ok();
    let target = scene.fresh_target();
    scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
    let names = tree::of(&crate::support::below(&target, all));
    let inside = |name: &str| names.keys().any(|found| found.starts_with(name));
    assert!(inside("/source/file") && inside("/key"));
    assert!(!inside("/repo/") && !inside("/cache/") && !inside("/state/"), "{:?}", names.keys());
}
