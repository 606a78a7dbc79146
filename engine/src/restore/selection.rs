//! The entries of a stream that are to be restored, and their paths below the target.

use super::RestoreOptions;
use super::filter::Filter;
use crate::model::Entry;

/// Judges entries in manifest order.
pub(super) struct Selection<'f> {
    filter: &'f Filter,
    folder: &'f [u8],
    /// The name that what `folder` leads to gets, if not its own.
    name: Option<&'f [u8]>,
    /// Bytes of every path that are not recreated; known from the first entry on.
    base_len: Option<usize>,
    /// The outermost directory that an include named.
    within: Option<Vec<u8>>,
    /// Nothing in this directory is restored.
    barred: Option<(Vec<u8>, Verdict)>,
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Wanted,
    /// It is the folder whose contents are restored: the target stands for it.
    Root,
    /// No include names it; something in it may be wanted.
    Passed,
    Excluded,
    /// It is in a directory that could not be restored.
    Lost,
}

impl<'f> Selection<'f> {
    /// For the contents of the folder that `options` name, or for the file of that path.
    pub(super) fn new(filter: &'f Filter, options: &'f RestoreOptions) -> Self {
        let (folder, name) = (&options.folder[..], options.name.as_deref());
        Self { filter, folder, name, base_len: None, within: None, barred: None }
    }

    pub(super) fn judge(&mut self, entry: &Entry) -> Verdict {
        if let Some((path, verdict)) = &self.barred {
            if entry.path.is_in(path) {
                return *verdict;
            }
            self.barred = None;
        }
        let base_len = *self.base_len.get_or_insert_with(|| base_len(entry, self.folder));
        let Some(relative) = entry.path.as_bytes().get(base_len..).filter(|path| !path.is_empty())
        else {
            return Verdict::Root;
        };
        if self.filter.excludes(relative, entry.is_directory()) {
            self.bar(entry, Verdict::Excluded);
            return Verdict::Excluded;
        }
        if self.filter.includes_all()
            || self.within.as_ref().is_some_and(|path| entry.path.is_in(path))
        {
            return Verdict::Wanted;
        }
        if self.filter.includes(relative, entry.is_directory()) {
            self.within = Some(entry.path.as_bytes().to_vec());
            return Verdict::Wanted;
        }
        Verdict::Passed
    }

    /// From now on everything in the directory `entry` has `verdict`.
    fn bar(&mut self, entry: &Entry, verdict: Verdict) {
        if entry.is_directory() {
            self.bar_path(entry.path.as_bytes(), verdict);
        }
    }

    /// The same for a whole path.
    pub(super) fn bar_path(&mut self, path: &[u8], verdict: Verdict) {
        self.barred = Some((path.to_vec(), verdict));
    }

    /// True if the file at `path`, in the folder of an entry that is wanted, is wanted too.
    pub(super) fn takes(&self, path: &[u8]) -> bool {
        let relative = path.get(self.base_len()..).unwrap_or_default();
        let is_within = || {
            let within = self.within.as_deref().and_then(|within| path.strip_prefix(within));
            within.is_some_and(|rest| rest.starts_with(b"/"))
        };
        let is_below = self.folder.is_empty()
            || path.strip_prefix(self.folder).is_some_and(|rest| rest.starts_with(b"/"));
        is_below
            && !self.filter.excludes(relative, false)
            && (self.filter.includes_all() || is_within() || self.filter.includes(relative, false))
    }

    /// The path below the target. Only for entries judged before.
    pub(super) fn relative<'e>(&self, entry: &'e Entry) -> &'e [u8]
    where
        'f: 'e,
    {
        let kept = || entry.path.as_bytes().get(self.base_len()..).unwrap_or_default();
        self.new_name(entry).unwrap_or_else(kept)
    }

    /// The name that `entry` gets in its folder.
    pub(super) fn name<'e>(&self, entry: &'e Entry) -> &'e [u8]
    where
        'f: 'e,
    {
        self.new_name(entry).unwrap_or_else(|| entry.path.name())
    }

    /// The same, if it is another than its own.
    pub(super) fn new_name(&self, entry: &Entry) -> Option<&'f [u8]> {
        self.name.filter(|_| entry.path.as_bytes() == self.folder)
    }

    /// Bytes of every path that are not recreated.
    pub(super) fn base_len(&self) -> usize {
        self.base_len.unwrap_or(0)
    }
}

fn base_len(first: &Entry, folder: &[u8]) -> usize {
    let is_itself = first.path.as_bytes() == folder;
    if folder.is_empty() {
        0
    } else if is_itself && !first.is_directory() {
        first.path.parent().map_or(0, |parent| parent.len() + 1)
    } else {
        folder.len() + 1
    }
}
