//! Where the repository, the cache and this host's state are.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use clap::ValueEnum;
use coffer_engine::repo::{OldBytes, OldBytesFrom};

use crate::args::{GlobalArgs, OldBytesArgs, values};
use crate::credentials;
use crate::environment::{Environment, Origin};
use crate::exit::{Failure, Result};
use crate::output::escape;

/// Prefixes of other tools' and later repositories; refused rather than taken for a folder's name.
const OTHER_SCHEMES: [&str; 14] = [
    "s3", "gs", "az", "azure", "b2", "sftp", "ssh", "rest", "rclone", "swift", "http", "https",
    "webdav", "smb",
];

/// Folders and limits of a command.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Absolute path of the repository.
    pub repository: PathBuf,
    /// None: no cache.
    pub cache_dir: Option<PathBuf>,
    pub state_dir: PathBuf,
}

impl Settings {
    /// Puts options before the environment, and the environment before defaults.
    ///
    /// # Errors
    /// A usage failure when no repository is named or something named is unsound.
    pub fn new(global: &GlobalArgs, environment: &Environment) -> Result<Self> {
        let repository = repository_path(&location(global, environment)?)?;
        let cache_dir = match &global.cache_dir {
            _ if global.no_cache => None,
            Some(given) => Some(absolute(given)?),
            None => base_dir(environment, "COFFER_CACHE_DIR", "XDG_CACHE_HOME", ".cache", "cache")?,
        };
        let state_dir = match &global.state_dir {
            Some(given) => Some(absolute(given)?),
            None => {
                base_dir(environment, "COFFER_STATE_DIR", "XDG_STATE_HOME", ".local/state", "lib")?
            }
        };
        let state_dir = state_dir.ok_or_else(|| {
            Failure::usage("there is no home folder to keep this host's signing key in")
                .hint("name a folder with --state-dir or COFFER_STATE_DIR")
        })?;
        Ok(Self { repository, cache_dir, state_dir })
    }

    /// Where a backup takes old bytes from: options before the environment, and that before defaults.
    ///
    /// # Errors
    /// A usage failure when a variable is unsound, or there is no cache to take them from.
    pub fn old_bytes(&self, args: OldBytesArgs, environment: &Environment) -> Result<OldBytes> {
        const FROM: &str = "COFFER_OLD_BYTES";
        const LIMIT: &str = "COFFER_OLD_BYTES_LIMIT";
        let default = OldBytes::default();
        let is_asked = args.old_bytes.is_some();
        let from = match args.old_bytes {
            None => parsed(environment, FROM, |text| values::OldBytes::from_str(text, false))?,
            given => given,
        };
        let limit = match args.old_bytes_limit {
            None => parsed(environment, LIMIT, values::old_bytes_limit)?,
            given => given,
        };
        let from = from.map_or(default.from, OldBytesFrom::from);
        if from == OldBytesFrom::Cache && self.cache_dir.is_none() && is_asked {
            let what = "old bytes cannot come from the cache: there is none";
            let way = "leave out --no-cache and name a folder with --cache-dir, or say --old-bytes repository";
            return Err(Failure::usage(what).hint(way));
        }
        Ok(OldBytes { from, cached_bytes_max: limit.unwrap_or(default.cached_bytes_max) })
    }

    /// Folders that no backup stores.
    #[must_use]
    pub fn own_folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.repository.clone(), self.state_dir.clone()];
        folders.extend(self.cache_dir.clone());
        folders
    }

    /// The repository for people.
    #[must_use]
    pub fn shown(&self) -> String {
        escape::name(self.repository.as_os_str().as_bytes())
    }
}

/// Makes a path absolute; its last name is kept as it is, be it a symbolic link, and so is a slash
/// after it. Only a path that climbs is resolved: `..` after a link is not what it looks like.
///
/// # Errors
/// A failure when the path is empty, or climbs from a folder that is not there.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    let resolved = match (path.parent(), path.file_name()) {
        _ if !climbs => std::path::absolute(path),
        (Some(folder), Some(name)) => folder.canonicalize().map(|folder| {
            let resolved = folder.join(name);
            let ends_in_slash = path.as_os_str().as_bytes().ends_with(b"/");
            if ends_in_slash { resolved.join("") } else { resolved }
        }),
        _ => path.canonicalize(),
    };
    resolved.map_err(|error| {
        let shown = escape::name(path.as_os_str().as_bytes());
        Failure::usage(format!("path `{shown}`: {error}"))
    })
}

fn location(global: &GlobalArgs, environment: &Environment) -> Result<OsString> {
    if let Some(given) = &global.repo {
        return Ok(given.clone());
    }
    match environment.origin("COFFER_REPOSITORY").map_err(Failure::usage)? {
        Some(Origin::Value(value)) => Ok(value),
        Some(Origin::File(file)) => credentials::line_of_file(Path::new(&file)),
        Some(Origin::Command(command)) => credentials::line_of_command(&command),
        None => Err(Failure::usage("no repository is named")
            .hint("name one with -r PATH or COFFER_REPOSITORY")),
    }
}

fn repository_path(location: &OsStr) -> Result<PathBuf> {
    let bytes = location.as_bytes();
    if bytes.is_empty() {
        return Err(Failure::usage("the repository's path is empty"));
    }
    let Some(colon) = bytes.iter().position(|byte| *byte == b':') else {
        return absolute(Path::new(location));
    };
    let (scheme, rest) = (String::from_utf8_lossy(&bytes[..colon]), &bytes[colon + 1..]);
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "file" && rest.starts_with(b"//") {
        return file_url(&rest[2..]);
    }
    let is_url = rest.starts_with(b"//") && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_url || OTHER_SCHEMES.contains(&scheme.as_str()) {
        let message = format!("repositories at {}: are not supported yet", escape::text(&scheme));
        return Err(Failure::usage(message)
            .hint("give a path or a file:// URL; a folder with such a name is ./NAME"));
    }
    absolute(Path::new(location))
}

fn file_url(rest: &[u8]) -> Result<PathBuf> {
    let path = rest.strip_prefix(b"localhost").unwrap_or(rest);
    let unsound =
        || Failure::usage("a file:// URL needs an absolute path, as in file:///mnt/backup");
    if path.first() != Some(&b'/') {
        return Err(unsound());
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
        let (high, low) = (digit(bytes.next()), digit(bytes.next()));
        let (Some(high), Some(low)) = (high, low) else { return Err(unsound()) };
        // Two hexadecimal digits fit a byte.
        decoded.push((high << 4 | low) as u8);
    }
    if decoded.contains(&0) {
        return Err(unsound());
    }
    absolute(Path::new(&OsString::from_vec(decoded)))
}

/// What a variable says, if it is set.
fn parsed<T>(
    environment: &Environment,
    name: &str,
    parse: impl FnOnce(&str) -> std::result::Result<T, String>,
) -> Result<Option<T>> {
    let Some(value) = environment.get(name) else { return Ok(None) };
    let text = value.to_string_lossy();
    let unsound = |why| {
        let shown = escape::text(&text);
        Failure::usage(format!("{name} is `{shown}`: {why}"))
    };
    parse(&text).map(Some).map_err(unsound)
}

/// The first of: our own variable, the base directory variable, the home folder, and for a root
/// without a home (as under systemd) `/var/…`.
fn base_dir(
    environment: &Environment,
    own: &str,
    base: &str,
    below_home: &str,
    below_var: &str,
) -> Result<Option<PathBuf>> {
    if let Some(given) = environment.get(own) {
        return absolute(Path::new(given)).map(Some);
    }
    let sound = |name| environment.get(name).map(Path::new).filter(|path| path.is_absolute());
    if let Some(base) = sound(base) {
        return Ok(Some(base.join("coffer")));
    }
    if let Some(home) = sound("HOME") {
        return Ok(Some(home.join(below_home).join("coffer")));
    }
    let is_root = rustix::process::geteuid().is_root();
    Ok(is_root.then(|| Path::new("/var").join(below_var).join("coffer")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(location: &str) -> Result<PathBuf> {
        repository_path(OsStr::new(location))
    }

    #[test]
    fn a_repository_is_a_path_or_a_file_url() {
        for (location, path) in [
            ("/mnt/backup", "/mnt/backup"),
            ("file:///mnt/a%20b", "/mnt/a b"),
            ("file://localhost/mnt", "/mnt"),
            ("/mnt/odd:name", "/mnt/odd:name"),
        ] {
            assert_eq!(path_of(location), Ok(PathBuf::from(path)), "{location}");
        }
        assert!(path_of("relative").unwrap().is_absolute());
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for location in ["s3://bucket/x", "sftp:user@host:/x", "rest:http://h", "foo://x", "S3:x"] {
            let failure = path_of(location).unwrap_err();
            assert!(failure.message.contains("not supported yet"), "{location}");
            assert_eq!(failure.code.number(), 2);
        }
        for location in ["", "file://host/x", "file:///a%0", "file:///a%00", "file://"] {
            assert!(path_of(location).is_err(), "{location}");
        }
    }

    #[test]
    fn a_path_keeps_its_last_name_and_slash() {
        for (path, wanted) in [
            ("/etc/./x/", "/etc/x/"),
            ("/usr/../etc/x", "/etc/x"),
            ("/usr/../etc/x/", "/etc/x/"),
            ("/usr/..", "/"),
        ] {
            let resolved = absolute(Path::new(path)).unwrap();
            assert_eq!(resolved.as_os_str(), wanted, "{path}");
        }
        assert!(absolute(Path::new("")).is_err());
        assert!(absolute(Path::new("/no/such/folder/../x")).is_err());
    }

    #[test]
    fn old_bytes_follow_options_then_the_environment() {
        let settings = |cache: Option<&str>| Settings {
            repository: "/r".into(),
            cache_dir: cache.map(Into::into),
            state_dir: "/s".into(),
        };
        let (none, given) = (OldBytesArgs::default(), |from| OldBytesArgs {
            old_bytes: Some(from),
            old_bytes_limit: Some(1 << 30),
        });
        let empty = Environment::from_pairs::<&str>([]);
        let set = Environment::from_pairs([
            ("COFFER_OLD_BYTES", "cache"),
            ("COFFER_OLD_BYTES_LIMIT", "100M"),
        ]);
        let with =
            |args, environment: &Environment| settings(Some("/c")).old_bytes(args, environment);
        assert_eq!(with(none, &empty), Ok(OldBytes::default()));
        let (from, cached_bytes_max) = (OldBytesFrom::Cache, 100 << 20);
        assert_eq!(with(none, &set), Ok(OldBytes { from, cached_bytes_max }));
        let (from, cached_bytes_max) = (OldBytesFrom::Repository, 1 << 30);
        let wanted = Ok(OldBytes { from, cached_bytes_max });
        assert_eq!(with(given(values::OldBytes::Repository), &set), wanted);
        assert!(settings(None).old_bytes(none, &empty).is_ok());
        // The variable stands in nobody's way where there is no cache; the option is a mistake there.
        assert!(settings(None).old_bytes(none, &set).is_ok());
        let asked = OldBytesArgs { old_bytes: Some(values::OldBytes::Cache), ..none };
        assert!(settings(None).old_bytes(asked, &empty).is_err());
        for (name, value) in [
            ("COFFER_OLD_BYTES", "somewhere"),
            ("COFFER_OLD_BYTES_LIMIT", "15M"),
            ("COFFER_OLD_BYTES_LIMIT", "much"),
        ] {
            let environment = Environment::from_pairs([(name, value)]);
            let failure = with(none, &environment).unwrap_err();
            assert!(failure.message.contains(name) && failure.message.contains(value));
            assert_eq!(failure.code.number(), 2);
        }
    }

    #[test]
    fn folders_follow_the_environment() {
        let environment = Environment::from_pairs([
            ("HOME", "/home/u"),
            ("XDG_CACHE_HOME", "/c"),
            ("COFFER_STATE_DIR", "/s"),
        ]);
        let dir = |own, base| base_dir(&environment, own, base, ".local/state", "lib");
        assert_eq!(dir("COFFER_CACHE_DIR", "XDG_CACHE_HOME"), Ok(Some("/c/coffer".into())));
        assert_eq!(dir("COFFER_STATE_DIR", "XDG_STATE_HOME"), Ok(Some("/s".into())));
        let home = Ok(Some("/home/u/.local/state/coffer".into()));
        assert_eq!(dir("OTHER", "XDG_STATE_HOME"), home);
    }
}
