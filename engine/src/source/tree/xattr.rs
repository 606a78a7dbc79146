//! Extended attributes. POSIX ACLs are among them.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{
    fgetxattr, fgetxattr_query, flistxattr, flistxattr_query, lgetxattr, lgetxattr_query,
    llistxattr, llistxattr_query,
};
use rustix::io::Errno;

use crate::limits;
use crate::model::Xattr;

/// Tries again when an attribute grows between asking for its length and reading it.
const TRY_COUNT: usize = 8;

/// The attributes of what stands at `path`, symbolic links not followed; names ascending.
pub(super) fn of_path(path: &[u8]) -> Result<Vec<Xattr>, Errno> {
    read(
        || whole(|| llistxattr_query(path), |buffer| llistxattr(path, buffer)),
        |name| whole(|| lgetxattr_query(path, name), |buffer| lgetxattr(path, name, buffer)),
    )
}

/// The attributes of an open file; names ascending.
pub(super) fn of_file(file: impl AsFd) -> Result<Vec<Xattr>, Errno> {
    let file = file.as_fd();
    read(
        || whole(|| flistxattr_query(file), |buffer| flistxattr(file, buffer)),
        |name| whole(|| fgetxattr_query(file, name), |buffer| fgetxattr(file, name, buffer)),
    )
}

fn read(
    list: impl Fn() -> Result<Vec<u8>, Errno>,
    get: impl Fn(&CStr) -> Result<Vec<u8>, Errno>,
) -> Result<Vec<Xattr>, Errno> {
    let names = match list() {
        // The filesystem has no attributes.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        names => names?,
    };
    let mut xattrs = Vec::new();
    let mut len = 0;
    for name in names.split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::ILSEQ)?;
        let value = match get(name) {
            // Removed since, or listed without being readable by design.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
            value => value?,
        };
        let name = name.to_bytes().to_vec();
        // Two lengths of at most ten bytes stand before name and value.
        len += name.len() as u64 + value.len() as u64 + 20;
        if len > limits::XATTRS_LEN_MAX {
            return Err(Errno::TOOBIG);
        }
        xattrs.push(Xattr { name, value });
    }
    xattrs.sort();
    xattrs.dedup_by(|a, b| a.name == b.name);
    Ok(xattrs)
}

/// Asks for the length, then reads that much: most files have nothing, for one call.
fn whole(
    query: impl Fn() -> Result<usize, Errno>,
    read: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    for _ in 0..TRY_COUNT {
        let len = query()?;
        if len == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; len];
        match read(&mut bytes) {
            Err(Errno::RANGE) => {}
            read => {
                bytes.truncate(read?);
                return Ok(bytes);
            }
        }
    }
    Err(Errno::RANGE)
}
