//! Attribute lists: names and values, end to end.

use super::super::reader::Reader;
use super::columns::{put_run, to_u64, to_usize, varint_len};
use super::{FormatError, Result};
use crate::limits;
use crate::model::Xattr;

/// Encodes an attribute list.
///
/// # Errors
/// When names are not ascending, empty, longer than [`limits::XATTR_NAME_LEN_MAX`] or have a NUL,
/// or the list is longer than [`limits::XATTRS_LEN_MAX`] bytes.
pub fn encode_xattrs(xattrs: &[Xattr]) -> Result<Vec<u8>> {
    let mut list = Vec::with_capacity(check_xattrs(xattrs)?);
    put_xattrs(&mut list, xattrs);
    Ok(list)
}

/// Decodes an attribute list.
///
/// # Errors
/// When the list breaks a rule of the format.
pub fn decode_xattrs(list: &[u8]) -> Result<Vec<Xattr>> {
    if to_u64(list.len()) > limits::XATTRS_LEN_MAX {
        return Err(too_long(list.len()));
    }
    let mut reader = Reader::new(list);
    let mut xattrs = Vec::new();
    while reader.remaining() > 0 {
        let name = read_run(&mut reader, "attribute name")?.to_vec();
        let value = read_run(&mut reader, "attribute value")?.to_vec();
        xattrs.push(Xattr { name, value });
    }
    check_xattrs(&xattrs)?;
    Ok(xattrs)
}

fn read_run<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8]> {
    let len = reader.varint(field)?;
    reader.bytes(to_usize(len, field)?, field)
}

/// Appends an attribute list that was checked.
pub(super) fn put_xattrs(out: &mut Vec<u8>, xattrs: &[Xattr]) {
    for xattr in xattrs {
        put_run(out, &xattr.name);
        put_run(out, &xattr.value);
    }
}

/// Checks the rules of a list; gives its encoded length.
pub(super) fn check_xattrs(xattrs: &[Xattr]) -> Result<usize> {
    let mut len = 0_usize;
    let mut previous: &[u8] = &[];
    for Xattr { name, value } in xattrs {
        if name.is_empty() || name.len() > limits::XATTR_NAME_LEN_MAX || name.contains(&0) {
            return Err(FormatError::Bad { field: "attribute name" });
        }
        if previous >= name.as_slice() {
            return Err(FormatError::Bad { field: "order of attributes" });
        }
        previous = name;
        for run in [name, value] {
            len = len.saturating_add(varint_len(to_u64(run.len()))).saturating_add(run.len());
        }
    }
    if to_u64(len) > limits::XATTRS_LEN_MAX {
        return Err(too_long(len));
    }
    Ok(len)
}

fn too_long(len: usize) -> FormatError {
    FormatError::Excess { field: "attribute list", count: to_u64(len) }
}
