//! Key files: 32 random bytes as 64 hexadecimal digits and a line feed.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use coffer_engine::crypto::Secret32;
use coffer_engine::crypto::slot::parse_key_file;
use coffer_engine::error::Error;
use coffer_engine::model::Entropy;
use zeroize::Zeroizing;

use crate::exit::{Code, Failure, Result};
use crate::output::escape;

/// Bytes read of a key file: a key has at most 66.
const READ_LEN_MAX: u64 = 128;

/// Reads the key of an existing file.
///
/// # Errors
/// A usage failure when the file cannot be read or holds no key.
pub fn load(path: &Path) -> Result<Secret32> {
    let bytes = read(path).map_err(|error| {
        Failure::usage(format!("cannot read the key file {}: {error}", shown(path)))
    })?;
    parse_key_file(&bytes).map_err(|_| {
        Failure::usage(format!("{} is not a key file", shown(path)))
            .hint("a key file holds 64 hexadecimal digits")
    })
}

/// Reads the key of a file, or makes a new key and the file, readable by its owner only. True if made.
///
/// # Errors
/// A refusal when the file exists and holds no key: it is left alone.
pub fn load_or_make(path: &Path) -> Result<(Secret32, bool)> {
    let create = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = match create {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let bytes = read(path).map_err(|error| {
                Failure::usage(format!("cannot read the key file {}: {error}", shown(path)))
            })?;
            let key = parse_key_file(&bytes).map_err(|_| {
                let message = format!("{} exists and is not a key file", shown(path));
                Failure::new(Code::Refused, message).hint("it is left alone; name another file")
            })?;
            return Ok((key, false));
        }
        Err(error) => {
            return Err(
                Error::io(format!("cannot make the key file {}", shown(path)), error).into()
            );
        }
    };
    let key = Secret32::random(&Entropy::system());
    write(file, path, &key).map_err(|error| {
        // Half a key is worse than none; the file is ours.
        let _ = std::fs::remove_file(path);
        Failure::from(Error::io(format!("cannot write the key file {}", shown(path)), error))
    })?;
    Ok((key, true))
}

fn write(mut file: File, path: &Path, key: &Secret32) -> io::Result<()> {
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key.as_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    file.write_all(text.as_bytes())?;
    // A slot made for a key that a power cut takes away would be a slot nobody opens.
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(READ_LEN_MAX as usize));
    File::open(path)?.take(READ_LEN_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn shown(path: &Path) -> String {
    escape::name(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_is_made_once_and_then_used() {
        let folder = std::env::temp_dir().join(format!("coffer-key-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("key");
        let (made, new) = load_or_make(&path).unwrap();
        assert!(new);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (again, new) = load_or_make(&path).unwrap();
        assert!(!new && again.as_bytes() == made.as_bytes());
        assert_eq!(load(&path).unwrap().as_bytes(), made.as_bytes());

        std::fs::write(&path, "my diary").unwrap();
        let refused = load_or_make(&path).err().unwrap();
        assert_eq!(refused.code, Code::Refused);
        assert_eq!(std::fs::read(&path).unwrap(), b"my diary");
        assert_eq!(load(&path).err().unwrap().code, Code::Usage);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
