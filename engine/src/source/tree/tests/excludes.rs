//! Everything that leaves something out.

use super::*;

#[test]
fn patterns_follow_the_grammar_of_gitignore() {
    let paths =
        ["a/x.tmp", "b/build/out", "b/build.rs", "c/keep.tmp", "d/log/1", "e/log", "f/g/h/i"];
    let patterns = |tree: &Tree, options: &mut TreeOptions| {
        options.excludes =
            ["*.tmp", "!keep.tmp", "build", "log/"].iter().map(|text| (*text).to_owned()).collect();
        options.excludes.push(format!("{}/f/**/i", tree.path.display()));
    };
    let found = ["a", "b", "b/build.rs", "c", "c/keep.tmp", "d", "e", "e/log", "f", "f/g", "f/g/h"];
    let seen = check(&paths, patterns, &found);
    let excluded = ["a/x.tmp: Pattern", "b/build: Pattern", "d/log: Pattern", "f/g/h/i: Pattern"];
    assert_eq!(seen.excluded, excluded);
}

#[test]
fn files_of_patterns_come_before_patterns() {
    let patterns = |tree: &Tree, options: &mut TreeOptions| {
        options.exclude_files = vec![tree.add(b"patterns")];
        fs::write(&options.exclude_files[0], "# comment\n\n*.log\npatterns\n").unwrap();
        options.excludes = vec!["!b.log".to_owned()];
    };
    check(&["a.log", "b.log", "c"], patterns, &["b.log", "c"]);
}

#[test]
fn bad_patterns_and_missing_files_of_patterns_are_errors() {
    let tree = Tree::new(&[]);
    for pattern in ["", " ", "#x", "a{b"] {
        let options = TreeOptions { excludes: vec![pattern.to_owned()], ..tree.options() };
        assert!(Walk::start(&options).is_err(), "{pattern:?}");
    }
    let options = TreeOptions { exclude_files: vec!["missing".into()], ..tree.options() };
    assert!(Walk::start(&options).is_err());
    let options = TreeOptions { exclude_if_present: vec!["a/b".to_owned()], ..tree.options() };
    assert!(Walk::start(&options).is_err());
}

#[test]
fn a_pattern_never_excludes_a_root_or_what_leads_to_it() {
    let paths = ["skip/in/f", "skip/out/f", "x/skip/y"];
    let roots = |tree: &Tree, options: &mut TreeOptions| {
        options.roots.push(tree.path.join("skip/in"));
        options.excludes = vec!["skip".to_owned()];
    };
    check(&paths, roots, &["skip", "skip/in", "skip/in/f", "x"]);
}

#[test]
fn a_signed_cache_keeps_its_entry_and_its_tag() {
    let paths = ["cache/a/b", "cache/CACHEDIR.TAG", "false/CACHEDIR.TAG", "false/kept", "z"];
    let sign = |tree: &Tree, options: &mut TreeOptions| {
        let text = "Signature: 8a477f597d28d172789f06886806bc55\n# more\n";
        fs::write(tree.path.join("cache/CACHEDIR.TAG"), text).unwrap();
        options.exclude_caches = true;
    };
    let found = ["cache", "cache/CACHEDIR.TAG", "false", "false/CACHEDIR.TAG", "false/kept", "z"];
    let seen = check(&paths, sign, &found);
    assert_eq!(seen.excluded, ["cache: CacheTag"]);
}

#[test]
fn a_marker_keeps_only_the_directory() {
    let paths = ["a/.nobackup", "a/b/c", "d/e"];
    let mark = |_: &Tree, options: &mut TreeOptions| {
        options.exclude_if_present = vec!["x".to_owned(), ".nobackup".to_owned()];
    };
    let seen = check(&paths, mark, &["a", "d", "d/e"]);
    assert_eq!(seen.excluded, ["a: Marker"]);
}

#[test]
fn long_files_and_reserved_folders_are_left_out() {
    let paths = ["long-name-of-a-file", "short", "repo/config", "folder/repo/x"];
    let change = |tree: &Tree, options: &mut TreeOptions| {
        options.exclude_larger_than = Some(12);
        symlink(tree.path.join("repo"), tree.path.join("link")).unwrap();
        options.skip = vec![tree.path.join("link"), tree.path.join("missing")];
    };
    let found = ["folder", "folder/repo", "link", "short"];
    let seen = check(&paths, change, &found);
    let excluded = ["folder/repo/x: TooLarge", "long-name-of-a-file: TooLarge", "repo: Reserved"];
    assert_eq!(seen.excluded, excluded);
}

#[test]
fn other_filesystems_keep_the_mount_point() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    // Nearly every Linux has some: shared memory, terminals.
    let mounts: Vec<_> =
        mounts.filter(|path| Path::new(path).parent() == Some(Path::new("/dev"))).collect();
    let options =
        TreeOptions { roots: vec!["/dev".into()], one_file_system: true, ..TreeOptions::default() };
    let (mut found, mut excluded) = (Vec::new(), Vec::new());
    for item in Walk::start(&options).unwrap() {
        match item {
            WalkItem::Found(entry) => found.push(entry.absolute_path()),
            WalkItem::Excluded { path, why: Exclusion::OtherFilesystem } => excluded.push(path),
            item => drop(item),
        }
    }
    for path in mounts.into_iter().filter(|path| Path::new(path).is_dir()) {
        assert!(found.contains(&path.into()) && excluded.contains(&path.into()), "{path}");
        assert!(!found.iter().any(|found| found.starts_with(format!("{path}/").as_bytes())));
    }
}
