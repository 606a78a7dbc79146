//! Passwords and key files: from options, the environment, commands or a prompt.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coffer_engine::crypto::slot::{Credential, parse_key_file};
use zeroize::Zeroizing;

use crate::args::{GlobalArgs, NewKeyArgs, PasswordPolicyArgs};
use crate::environment::{Environment, Origin};
use crate::exit::{Code, Failure, Result};
use crate::key_file;
use crate::output::escape;
use crate::password_policy;

/// Bytes of a password, or of a line naming a file: more is a mistake.
const LINE_LEN_MAX: u64 = 64 << 10;

const THREE_WAYS: &str = "give it with --password-file (COFFER_PASSWORD_FILE), --password-command \
                          (COFFER_PASSWORD_COMMAND) or in COFFER_PASSWORD; or use --key-file";

/// Where the password and the key file come from; read only when asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    password: Option<Origin>,
    key: Option<KeyOrigin>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyOrigin {
    Path(PathBuf),
    /// Prints what a key file holds.
    Command(OsString),
}

/// Credentials of a new slot or repository, and the key file made for them, if one was.
pub struct NewCredentials {
    pub credentials: Vec<Credential>,
    pub made_key_file: Option<PathBuf>,
}

impl Given {
    /// Takes options before the environment, each of password and key by itself.
    ///
    /// # Errors
    /// A usage failure when the environment gives one thing twice.
    pub fn new(global: &GlobalArgs, environment: &Environment) -> Result<Self> {
        let password = match (&global.password_file, &global.password_command) {
            (Some(file), _) => Some(Origin::File(file.clone().into())),
            (None, Some(command)) => Some(Origin::Command(command.clone())),
            (None, None) => environment.origin("COFFER_PASSWORD").map_err(Failure::usage)?,
        };
        let key = match &global.key_file {
            Some(path) => Some(KeyOrigin::Path(path.clone())),
            None => match environment.origin("COFFER_KEY_FILE").map_err(Failure::usage)? {
                None => None,
                Some(Origin::Value(path)) => Some(KeyOrigin::Path(path.into())),
                Some(Origin::File(file)) => {
                    Some(KeyOrigin::Path(line_of_file(Path::new(&file))?.into()))
                }
                Some(Origin::Command(command)) => Some(KeyOrigin::Command(command)),
            },
        };
        Ok(Self { password, key })
    }

    /// The files that hold them.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let key = match &self.key {
            Some(KeyOrigin::Path(path)) => Some(path.clone()),
            _ => None,
        };
        let password = match &self.password {
            Some(Origin::File(file)) => Some(file.into()),
            _ => None,
        };
        key.into_iter().chain(password).collect()
    }

    /// What a repository is opened with: the key first, since it costs no derivation. Asks for a
    /// password if nothing is given.
    ///
    /// # Errors
    /// A usage failure when something given cannot be read, or nothing is given and nobody can be asked.
    pub fn to_open(&self) -> Result<Vec<Credential>> {
        let mut credentials = Vec::new();
        if let Some(key) = &self.key {
            credentials.push(Credential::KeyFile(key.load()?));
        }
        if let Some(origin) = &self.password {
            credentials.push(Credential::Password(password_from(origin)?));
        }
        if credentials.is_empty() {
            credentials.push(Credential::Password(prompt("password: ")?));
        }
        Ok(credentials)
    }

    /// What a new repository is made for: the password first. Makes the key file if it is not there;
    /// asks for a password, twice, if nothing is given.
    ///
    /// # Errors
    /// A usage failure as in [`Self::to_open`] or for a weak password; a refusal when the key file
    /// exists and is none.
    pub fn to_init(&self, policy: &PasswordPolicyArgs) -> Result<NewCredentials> {
        let mut new = NewCredentials { credentials: Vec::new(), made_key_file: None };
        if let Some(origin) = &self.password {
            let password = password_from(origin)?;
            password_policy::check(&password, policy.allow_weak_password)?;
            new.credentials.push(Credential::Password(password));
        } else if self.key.is_none() {
            new.credentials.push(Credential::Password(prompt_new(policy)?));
        }
        match &self.key {
            None => {}
            Some(KeyOrigin::Path(path)) => new.add_key_file(path)?,
            Some(key) => new.credentials.push(Credential::KeyFile(key.load()?)),
        }
        Ok(new)
    }
}

impl NewCredentials {
    /// The credential that `key add` and `key passwd` were given, or one asked for.
    ///
    /// # Errors
    /// As [`Given::to_init`].
    pub fn from_args(args: &NewKeyArgs) -> Result<Self> {
        let mut new = Self { credentials: Vec::new(), made_key_file: None };
        if let Some(path) = &args.new_key_file {
            new.add_key_file(path)?;
            return Ok(new);
        }
        let origin = match (&args.new_password_file, &args.new_password_command) {
            (Some(file), _) => Some(Origin::File(file.clone().into())),
            (None, command) => command.clone().map(Origin::Command),
        };
        let password = match origin {
            Some(origin) => password_from(&origin)?,
            None => prompt_new(&args.policy)?,
        };
        password_policy::check(&password, args.policy.allow_weak_password)?;
        new.credentials.push(Credential::Password(password));
        Ok(new)
    }

    fn add_key_file(&mut self, path: &Path) -> Result<()> {
        let (key, made) = key_file::load_or_make(path)?;
        self.credentials.push(Credential::KeyFile(key));
        self.made_key_file = made.then(|| path.to_owned());
        Ok(())
    }
}

impl KeyOrigin {
    fn load(&self) -> Result<coffer_engine::crypto::Secret32> {
        match self {
            Self::Path(path) => key_file::load(path),
            Self::Command(command) => {
                let bytes = output_of(command)?;
                parse_key_file(&bytes).map_err(|_| {
                    Failure::usage("the command of COFFER_KEY_FILE_COMMAND printed no key")
                        .hint("it has to print what a key file holds: 64 hexadecimal digits")
                })
            }
        }
    }
}

/// The one line of a file.
///
/// # Errors
/// A usage failure when it cannot be read or has more lines.
pub fn line_of_file(path: &Path) -> Result<OsString> {
    let shown = escape::name(path.as_os_str().as_bytes());
    let bytes = read_bounded(path)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    Ok(OsString::from_vec(one_line(&bytes, &shown)?.to_vec()))
}

/// The one line a shell command prints.
///
/// # Errors
/// A failure when the command fails or prints more lines.
pub fn line_of_command(command: &OsStr) -> Result<OsString> {
    let bytes = output_of(command)?;
    Ok(OsString::from_vec(one_line(&bytes, "the command's output")?.to_vec()))
}

fn password_from(origin: &Origin) -> Result<Zeroizing<Vec<u8>>> {
    let (bytes, what) = match origin {
        Origin::Value(value) => {
            (Zeroizing::new(value.as_bytes().to_vec()), "COFFER_PASSWORD".to_owned())
        }
        Origin::File(file) => {
            let shown = escape::name(file.as_bytes());
            let bytes = read_bounded(Path::new(file)).map_err(|error| {
                Failure::usage(format!("cannot read the password file {shown}: {error}"))
            })?;
            (bytes, format!("the password file {shown}"))
        }
        Origin::Command(command) => {
            (output_of(command)?, "the output of the password command".to_owned())
        }
    };
    let line = one_line(&bytes, &what)?;
    if line.is_empty() {
        return Err(Failure::usage(format!("{what} is empty")).hint(THREE_WAYS));
    }
    if std::str::from_utf8(line).is_err() {
        return Err(Failure::usage(format!("{what} is not UTF-8 text")));
    }
    Ok(Zeroizing::new(line.to_vec()))
}

fn read_bounded(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // All at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LINE_LEN_MAX as usize + 1));
    File::open(path)?.take(LINE_LEN_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn one_line<'a>(bytes: &'a [u8], what: &str) -> Result<&'a [u8]> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.contains(&b'\n') || line.len() as u64 > LINE_LEN_MAX {
        return Err(Failure::usage(format!("{what} has more than one line, or too long a one")));
    }
    Ok(line)
}

fn output_of(command: &OsStr) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |what: String| {
        Failure::new(Code::Failed, format!("the command for a secret or a setting failed: {what}"))
    };
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .env_remove("COFFER_PASSWORD")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(LINE_LEN_MAX as usize + 1));
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(LINE_LEN_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed(error.to_string()))?;
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    Ok(bytes)
}

fn prompt_new(policy: &PasswordPolicyArgs) -> Result<Zeroizing<Vec<u8>>> {
    let password = prompt("new password: ")?;
    password_policy::check(&password, policy.allow_weak_password)?;
    if *prompt("the same again: ")? != *password {
        return Err(Failure::usage("the two passwords differ"));
    }
    Ok(password)
}

fn prompt(text: &str) -> Result<Zeroizing<Vec<u8>>> {
    let nobody =
        || Failure::usage("a password is needed and there is no terminal").hint(THREE_WAYS);
    // A terminal may exist that nobody looks at: it counts only if we are connected to one.
    if !std::io::stdin().is_terminal() && !std::io::stderr().is_terminal() {
        return Err(nobody());
    }
    match rpassword::prompt_password(text) {
        Ok(password) => Ok(Zeroizing::new(password.into_bytes())),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
            Err(Failure::interrupted())
        }
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Failure::usage("no password was given").hint(THREE_WAYS))
        }
        Err(_) => Err(nobody()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser;

    fn given(options: &str, environment: &[(&str, &str)]) -> Result<Given> {
        let line = format!("coffer {options} check");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        Given::new(&cli.global, &Environment::from_pairs(environment.iter().copied()))
    }

    #[test]
    fn options_come_before_the_environment() {
        let both = given("--password-file /f", &[("COFFER_PASSWORD", "x")]).unwrap();
        assert_eq!(both.password, Some(Origin::File("/f".into())));
        let key = given("", &[("COFFER_KEY_FILE", "/k"), ("COFFER_PASSWORD", "x")]).unwrap();
        assert_eq!(key.key, Some(KeyOrigin::Path("/k".into())));
        assert_eq!(key.password, Some(Origin::Value("x".into())));
        let twice = given("", &[("COFFER_PASSWORD", "x"), ("COFFER_PASSWORD_FILE", "/f")]);
        assert_eq!(twice.unwrap_err().code, Code::Usage);
    }

    #[test]
    fn a_password_is_one_line_without_its_end() {
        for (bytes, line) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), (" a \n", " a ")] {
            assert_eq!(one_line(bytes.as_bytes(), "x"), Ok(line.as_bytes()));
        }
        assert!(one_line(b"a\nb\n", "x").is_err() && one_line(b"a\n\n", "x").is_err());
        assert!(password_from(&Origin::Command("printf ''".into())).is_err());
        assert!(password_from(&Origin::Command("printf '\\377'".into())).is_err());
    }

    #[test]
    fn a_password_command_must_succeed() {
        let password = password_from(&Origin::Command("echo hunter2".into())).unwrap();
        assert_eq!(*password, b"hunter2");
        let failed = password_from(&Origin::Command("echo hunter2; exit 3".into())).unwrap_err();
        assert!(!failed.message.contains("hunter2") && failed.code == Code::Failed);
    }
}
