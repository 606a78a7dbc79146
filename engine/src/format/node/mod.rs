//! Nodes of a manifest: pages of entries, tables of pages, lists of chunk ids.
//!
//! Every node begins with the references it needs, so that marking reads nothing else. The layouts
//! are page 5 of the format.

mod columns;
mod head;
mod id_list;
mod page_decode;
mod page_encode;
mod paths;
mod rules;
mod table;
mod xattrs;

#[cfg(test)]
mod refusals;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use head::{NodeHead, NodeKind, references};
pub use id_list::{IdList, Run, decode_id_list, encode_id_list};
pub use page_decode::decode_page;
pub use page_encode::PageBuilder;
pub use rules::{check_entry, stored_len};
pub use table::{Child, Table, child_len, decode_table, encode_table};
pub use xattrs::{decode_xattrs, encode_xattrs};

use super::FormatError;

type Result<T> = std::result::Result<T, FormatError>;
