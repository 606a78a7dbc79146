use std::os::unix::fs::symlink;

use super::*;
use crate::model::Time;

fn source(paths: Vec<PathBuf>) -> SecretsSource {
    let name = "secrets".to_owned();
    SecretsSource { name, paths, environment_files: Vec::new(), commands: Vec::new() }
}

/// The paths below `folder` and their bytes.
fn read(source: &mut SecretsSource, folder: &std::path::Path) -> Vec<(String, String)> {
    let secrets = source.read(&[], None, Time::default(), &|| false).unwrap();
    assert_eq!(secrets.problems, []);
    let folder = folder.strip_prefix("/").unwrap().to_str().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all =
        secrets.list.values().map(|it| (text(it.entry.path.as_bytes()), text(it.bytes.as_bytes())));
    all.filter_map(|(path, bytes)| Some((path.strip_prefix(folder)?.to_owned(), bytes))).collect()
}

#[test]
fn links_given_are_followed_and_links_found_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let make = |name: &str| std::fs::create_dir_all(root.join(name)).unwrap();
    make("real/folder");
    make("asked");
    std::fs::write(root.join("real/folder/file"), "x").unwrap();
    symlink("../real/folder", root.join("asked/link")).unwrap();
    symlink("file", root.join("real/folder/inner")).unwrap();
    let pair = |path: &str, bytes: &str| (path.to_owned(), bytes.to_owned());
    let wanted = [
        pair("", ""),
        pair("/asked", ""),
        pair("/asked/link", ""),
        pair("/asked/link/file", "x"),
        pair("/asked/link/inner", ""),
    ];
    assert_eq!(read(&mut source(vec![root.join("asked/link")]), &root), wanted);
    // Asked for by both names it stands under its own, and the link stays a link.
    let both = vec![root.join("asked/link"), root.join("real")];
    let paths: Vec<String> = read(&mut source(both), &root).into_iter().map(|it| it.0).collect();
    assert_eq!(paths[..3], ["", "/asked", "/asked/link"]);
    assert!(paths.contains(&"/real/folder/file".to_owned()) && paths.len() == 7, "{paths:?}");
}

#[test]
fn every_link_to_the_same_file_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("real")).unwrap();
    std::fs::write(root.join("real/file"), "x").unwrap();
    for (to, name) in [("real/file", "a"), ("a", "b"), ("real", "c")] {
        symlink(to, root.join(name)).unwrap();
    }
    std::fs::hard_link(root.join("real/file"), root.join("d")).unwrap();
    let holding = |names: &[&str]| -> Vec<String> {
        let asked = names.iter().map(|name| root.join(name)).collect();
        let all = read(&mut source(asked), &root).into_iter();
        all.filter(|(_, bytes)| bytes == "x").map(|(path, _)| path).collect()
    };
    assert_eq!(holding(&["a", "b"]), ["/a", "/b"]);
    assert_eq!(holding(&["b", "c", "d"]), ["/b", "/c/file", "/d"]);
    assert_eq!(holding(&["c", "real/file"]), ["/c/file", "/real/file"]);
    assert_eq!(holding(&["d", "real/file"]), ["/d", "/real/file"]);
}

#[test]
fn a_mount_and_one_of_its_keys_are_both_held_through_links() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("mount/..1")).unwrap();
    std::fs::write(root.join("mount/..1/key"), "x").unwrap();
    for (to, name) in [("..1", "mount/..data"), ("..data/key", "mount/key"), ("mount", "link")] {
        symlink(to, root.join(name)).unwrap();
    }
    let all = read(&mut source(vec![root.join("link"), root.join("mount/key")]), &root);
    let files: Vec<&str> =
        all.iter().filter(|(_, bytes)| bytes == "x").map(|(path, _)| path.as_str()).collect();
    assert_eq!(files, ["/link/key", "/mount/key"]);
}

#[test]
fn what_is_asked_for_is_claimed_by_both_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::write(root.join("real"), "x").unwrap();
    symlink("real", root.join("link")).unwrap();
    let claimed = source(vec![root.join("link"), root.join("missing")]).claimed();
    assert_eq!(claimed, [root.join("link"), root.join("real")]);
}
