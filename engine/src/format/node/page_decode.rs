//! Reads the columns of a page back into entries.

use std::sync::Arc;

use super::super::reader::Reader;
use super::columns::{Column, to_u64, to_usize};
use super::head::{NodeKind, open_kind};
use super::page_encode::{
    DATABASE, HOLES, ID_LIST, LINK_GROUP, RACY, XATTRS_INLINE, XATTRS_STORED,
};
use super::paths::PathReader;
use super::rules::{check_attributes, check_body, check_owner};
use super::xattrs::decode_xattrs;
use super::{FormatError, Result};
use crate::limits;
use crate::model::{Content, Entry, EntryKind, Hole, NodeRef, Owner, Time, Xattrs};

/// Least bytes an entry is counted with.
const ENTRY_COUNTED_MIN: usize = 96;

/// Decodes a page.
///
/// # Errors
/// When the bytes break a rule of the format.
pub fn decode_page(bytes: &[u8]) -> Result<Vec<Entry>> {
    let (head, mut reader) = open_kind(bytes, NodeKind::Page)?;
    let count = reader.u32("entries")?;
    let entry_count = to_usize(count.into(), "entries")?;
    if entry_count > limits::NODE_LEN_MAX / ENTRY_COUNTED_MIN {
        return Err(FormatError::Excess { field: "entries", count: count.into() });
    }
    let mut columns = Columns::open(reader)?;
    let owners = read_owners(&mut columns.owner_table, entry_count)?;
    let mut references = Numbers { references: &head.references, expected: 0 };
    let mut page = Page { entries: Vec::with_capacity(entry_count), counted_len: 0 };
    let mut with_attributes = Vec::new();
    let (mut secs, mut inode) = (0, 0);
    for place in 0..entry_count {
        let (entry, flags) = read_entry(&mut columns, &owners, &mut references, secs, inode)?;
        (secs, inode) = (entry.mtime.secs, entry.inode);
        page.count(check_body(&entry)?)?;
        page.entries.push(entry);
        if flags & (XATTRS_INLINE | XATTRS_STORED) != 0 {
            with_attributes.push((place, flags));
        }
    }
    for (place, flags) in with_attributes {
        let xattrs = read_attributes(&mut columns.attributes, flags, &mut references)?;
        page.count(check_attributes(&xattrs)?)?;
        if let Some(entry) = page.entries.get_mut(place) {
            entry.xattrs = xattrs;
        }
    }
    columns.finish()?;
    Ok(page.entries)
}

/// Entries so far, and their length as counted for cutting, which bounds what they take.
struct Page {
    entries: Vec<Entry>,
    counted_len: usize,
}

impl Page {
    fn count(&mut self, len: usize) -> Result<()> {
        self.counted_len = self.counted_len.saturating_add(len);
        if self.counted_len > limits::NODE_LEN_MAX {
            let len = to_u64(self.counted_len);
            return Err(FormatError::Excess { field: "page as counted", count: len });
        }
        Ok(())
    }
}

struct Columns<'a> {
    kinds: Column<'a>,
    flags: Column<'a>,
    paths: PathReader<'a>,
    modes: Column<'a>,
    owners: Column<'a>,
    owner_table: Column<'a>,
    mtimes: Column<'a>,
    ctimes: Column<'a>,
    inodes: Column<'a>,
    sizes: Column<'a>,
    contents: Column<'a>,
    targets: Column<'a>,
    devices: Column<'a>,
    link_groups: Column<'a>,
    attributes: Column<'a>,
    holes: Column<'a>,
}

impl<'a> Columns<'a> {
    fn open(mut node: Reader<'a>) -> Result<Self> {
        let columns = Self {
            kinds: Column::open(&mut node, "kinds")?,
            flags: Column::open(&mut node, "flags")?,
            paths: PathReader::open(&mut node)?,
            modes: Column::open(&mut node, "modes")?,
            owners: Column::open(&mut node, "owners")?,
            owner_table: Column::open(&mut node, "owner table")?,
            mtimes: Column::open(&mut node, "mtimes")?,
            ctimes: Column::open(&mut node, "ctimes")?,
            inodes: Column::open(&mut node, "inodes")?,
            sizes: Column::open(&mut node, "sizes")?,
            contents: Column::open(&mut node, "contents")?,
            targets: Column::open(&mut node, "link targets")?,
            devices: Column::open(&mut node, "devices")?,
            link_groups: Column::open(&mut node, "link groups")?,
            attributes: Column::open(&mut node, "attributes")?,
            holes: Column::open(&mut node, "holes")?,
        };
        node.finish("page")?;
        Ok(columns)
    }

    fn finish(self) -> Result<()> {
        self.paths.finish()?;
        let columns = [
            self.kinds,
            self.flags,
            self.modes,
            self.owners,
            self.owner_table,
            self.mtimes,
            self.ctimes,
            self.inodes,
            self.sizes,
            self.contents,
            self.targets,
            self.devices,
            self.link_groups,
            self.attributes,
            self.holes,
        ];
        columns.into_iter().try_for_each(Column::finish)
    }
}

/// The references of a page, as columns name them.
struct Numbers<'a> {
    references: &'a [NodeRef],
    /// One more than the number used last.
    expected: usize,
}

impl Numbers<'_> {
    fn read(&mut self, column: &mut Column<'_>) -> Result<NodeRef> {
        let delta = isize::try_from(column.svarint()?).ok();
        let number = delta.and_then(|delta| self.expected.checked_add_signed(delta));
        let found = number.and_then(|number| Some((number, *self.references.get(number)?)));
        let Some((number, reference)) = found else { return column.bad() };
        self.expected = number.saturating_add(1);
        Ok(reference)
    }

    fn read_chunks(&mut self, column: &mut Column<'_>) -> Result<Vec<NodeRef>> {
        let count = column.count(limits::INLINE_REFS_MAX)?;
        // As long as it is, no more: most files have one chunk, and pages many files.
        let mut chunks = Vec::with_capacity(count);
        for _ in 0..count {
            chunks.push(self.read(column)?);
        }
        Ok(chunks)
    }
}

fn read_owners(column: &mut Column<'_>, entry_count: usize) -> Result<Vec<Arc<Owner>>> {
    let count = column.count(entry_count)?;
    let mut owners = Vec::with_capacity(count);
    for _ in 0..count {
        let owner = Owner {
            uid: column.varint_u32()?,
            gid: column.varint_u32()?,
            user: column.run(limits::OWNER_NAME_LEN_MAX)?.to_vec(),
            group: column.run(limits::OWNER_NAME_LEN_MAX)?.to_vec(),
        };
        check_owner(&owner)?;
        owners.push(Arc::new(owner));
    }
    Ok(owners)
}

/// Reads all columns of an entry but its attributes; gives its flags too.
fn read_entry(
    columns: &mut Columns<'_>,
    owners: &[Arc<Owner>],
    references: &mut Numbers<'_>,
    previous_secs: i64,
    previous_inode: u64,
) -> Result<(Entry, u64)> {
    let code = columns.kinds.u8()?;
    let flags = columns.flags.varint()?;
    check_flags(flags, code)?;
    let path = columns.paths.next()?;
    let mode = columns.modes.varint_u32()?;
    let owner = to_usize(columns.owners.varint()?, "owners")?;
    let Some(owner) = owners.get(owner) else { return columns.owners.bad() };
    let mtime = read_time(&mut columns.mtimes, previous_secs)?;
    let ctime = read_time(&mut columns.ctimes, mtime.secs)?;
    let inode = previous_inode.wrapping_add(columns.inodes.svarint()?.cast_unsigned());
    let kind = read_kind(columns, code, flags, references)?;
    let link_group = if flags & LINK_GROUP == 0 { 0 } else { read_link_group(columns)? };
    let entry = Entry {
        path,
        kind,
        mode,
        owner: Arc::clone(owner),
        mtime,
        ctime,
        inode,
        racy: flags & RACY != 0,
        database: flags & DATABASE != 0,
        link_group,
        xattrs: Xattrs::default(),
    };
    Ok((entry, flags))
}

fn check_flags(flags: u64, code: u8) -> Result<()> {
    let known = RACY | LINK_GROUP | XATTRS_INLINE | XATTRS_STORED | HOLES | ID_LIST | DATABASE;
    let both = XATTRS_INLINE | XATTRS_STORED;
    let not_a_file = code != 1 && flags & (HOLES | ID_LIST | DATABASE) != 0;
    if flags & !known != 0 || flags & both == both || not_a_file {
        return Err(FormatError::Bad { field: "flags" });
    }
    Ok(())
}

fn read_time(column: &mut Column<'_>, base_secs: i64) -> Result<Time> {
    Ok(Time { secs: base_secs.wrapping_add(column.svarint()?), nanos: column.varint_u32()? })
}

fn read_kind(
    columns: &mut Columns<'_>,
    code: u8,
    flags: u64,
    references: &mut Numbers<'_>,
) -> Result<EntryKind> {
    Ok(match code {
        1 => EntryKind::File {
            size: columns.sizes.varint()?,
            content: read_content(&mut columns.contents, flags, references)?,
            holes: if flags & HOLES == 0 { Vec::new() } else { read_holes(&mut columns.holes)? },
        },
        2 => EntryKind::Directory,
        3 => {
            let target = columns.targets.run(limits::LINK_TARGET_LEN_MAX)?.to_vec();
            EntryKind::Symlink { target }
        }
        4 => EntryKind::Fifo,
        5 => EntryKind::Socket,
        6 => {
            let (major, minor) = read_device(columns)?;
            EntryKind::CharDevice { major, minor }
        }
        7 => {
            let (major, minor) = read_device(columns)?;
            EntryKind::BlockDevice { major, minor }
        }
        _ => return columns.kinds.bad(),
    })
}

fn read_content(
    column: &mut Column<'_>,
    flags: u64,
    references: &mut Numbers<'_>,
) -> Result<Content> {
    if flags & ID_LIST == 0 {
        references.read_chunks(column).map(Content::Chunks)
    } else {
        references.read(column).map(Content::List)
    }
}

fn read_holes(column: &mut Column<'_>) -> Result<Vec<Hole>> {
    let count = column.count(limits::HOLE_COUNT_MAX)?;
    if count == 0 {
        return column.bad();
    }
    let mut holes = Vec::with_capacity(count);
    let mut end = 0_u64;
    for _ in 0..count {
        let (gap, len) = (column.varint()?, column.varint()?);
        let Some(offset) = end.checked_add(gap) else { return column.bad() };
        let Some(hole_end) = offset.checked_add(len) else { return column.bad() };
        holes.push(Hole { offset, len });
        end = hole_end;
    }
    Ok(holes)
}

fn read_device(columns: &mut Columns<'_>) -> Result<(u32, u32)> {
    Ok((columns.devices.varint_u32()?, columns.devices.varint_u32()?))
}

fn read_link_group(columns: &mut Columns<'_>) -> Result<u64> {
    match columns.link_groups.u64()? {
        0 => columns.link_groups.bad(),
        group => Ok(group),
    }
}

fn read_attributes(
    column: &mut Column<'_>,
    flags: u64,
    references: &mut Numbers<'_>,
) -> Result<Xattrs> {
    if flags & XATTRS_INLINE != 0 {
        let list = column.run(limits::XATTRS_INLINE_LEN_MAX)?;
        if list.is_empty() {
            return column.bad();
        }
        return decode_xattrs(list).map(Xattrs::Inline);
    }
    let len = column.varint()?;
    Ok(Xattrs::Stored { len, chunks: references.read_chunks(column)? })
}
