//! Lists for people.

use std::time::Duration;

use coffer_engine::browse::{JobCost, Sizes, Stats};
use coffer_engine::model::{Entry, EntryKind, Snapshot, SnapshotState};
use coffer_engine::repo::{KeyInfo, Tuning};
use coffer_engine::tune::Tuned;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::{escape, json, units};

/// A table without lines, right as wide as its contents: easy to read, grep and cut.
#[must_use]
pub fn plain(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Lists snapshots, one a line and one more line for each further path.
#[must_use]
pub fn snapshots(list: &[&Snapshot]) -> String {
    let mut table = plain(&["ID", "Time", "Host", "Tags", "Job", "Size", "Paths"]);
    for snapshot in list {
        let id = snapshot.sid.to_string();
        let mut paths: Vec<String> =
            roots(snapshot).iter().map(|root| escape::name(root)).collect();
        match snapshot.state {
            SnapshotState::Complete => {}
            SnapshotState::Partial => paths.push("(partial)".into()),
            SnapshotState::Incomplete => paths.push("(incomplete)".into()),
        }
        let tags: Vec<String> = snapshot.tags.iter().map(|tag| escape::text(tag)).collect();
        table.add_row([
            json::short(&id).to_owned(),
            units::local_time(snapshot.started_ns),
            escape::text(&snapshot.host),
            tags.join(","),
            escape::text(job(&snapshot.job)),
            units::bytes(snapshot.totals.bytes),
            paths.join("\n"),
        ]);
    }
    if let Some(size) = table.column_mut(5) {
        size.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// A job for a list: one without a name is a long hash, of which the first digits do.
#[must_use]
pub fn job(job: &str) -> &str {
    let is_hash = job.len() >= 32 && job.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { json::short(job) } else { job }
}

/// What was asked for: the paths of trees, and the names of what has none.
#[must_use]
pub fn roots(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for source in &snapshot.sources {
        if source.roots.is_empty() {
            all.push(source.name.clone().into_bytes());
        }
        all.extend(source.roots.iter().cloned());
    }
    all
}

/// Lists the sources of a snapshot, each with what was measured of it, indented.
#[must_use]
pub fn sources(snapshot: &Snapshot) -> String {
    let mut lines = Vec::new();
    for source in &snapshot.sources {
        lines.push(format!(
            "  {} {}: {}, {}, {}",
            escape::text(&source.kind),
            escape::text(&source.name),
            json::source_status(source),
            units::count(source.entries, "entry", "entries"),
            units::bytes(source.bytes),
        ));
        if source.errors > 0 {
            lines.push(format!("    errors: {}", source.errors));
        }
        let message = source.message.iter().map(|text| ("message", text));
        let facts = source.facts.iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in message.chain(facts) {
            lines.push(format!("    {}: {}", escape::text(name), escape::text(value)));
        }
    }
    lines.join("\n")
}

/// Lists what snapshots hold and take, one a line, and all together.
#[must_use]
pub fn sizes(snapshots: &[Snapshot], stats: &Stats) -> String {
    let heads = ["ID", "Time", "Entries", "Files", "Unique", "Stored", "Compression", "Dedup"];
    let mut table = plain(&heads);
    let ratio = |ratio: Option<f64>| ratio.map_or("-".into(), |ratio| format!("{ratio:.2}x"));
    let mut row = |id: String, time: String, sizes: &Sizes| {
        table.add_row([
            id,
            time,
            sizes.entries.to_string(),
            units::bytes(sizes.logical_bytes),
            units::bytes(sizes.unique_bytes),
            units::bytes(sizes.stored_bytes),
            ratio(sizes.compression_ratio()),
            ratio(sizes.deduplication_ratio()),
        ]);
    };
    for (snapshot, (id, sizes)) in snapshots.iter().zip(&stats.snapshots) {
        let time = units::local_time(snapshot.started_ns);
        row(json::short(&id.to_string()).to_owned(), time, sizes);
    }
    row("total".into(), String::new(), &stats.total);
    for number in 2..heads.len() {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Lists what jobs cost, one a line: how many snapshots, and what those of the hour up to the newest took.
#[must_use]
pub fn job_costs(costs: &[JobCost]) -> String {
    let mut table = plain(&["Host", "Job", "Snapshots", "Newest", "In its hour", "Stored", "Busy"]);
    for cost in costs {
        table.add_row([
            escape::text(&cost.host),
            escape::text(&cost.job),
            cost.snapshots.to_string(),
            units::local_time(cost.newest_ns),
            cost.hour_snapshots.to_string(),
            units::bytes(cost.hour_stored_bytes),
            format!("{:.1} %", cost.busy_percent()),
        ]);
    }
    for number in [2, 4, 5, 6] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Lists what settings make of a sample, one a line; the recommended one is marked.
#[must_use]
pub fn tuned(tuned: &Tuned) -> String {
    let heads = [
        "",
        "Settings",
        "Stored",
        "Room",
        "Speed",
        "Duplicate",
        "Chunks/GiB",
        "Index/TiB",
        "All stored",
        "All time",
    ];
    let mut table = plain(&heads);
    let default = &tuned.measured[0];
    for (number, it) in tuned.measured.iter().enumerate() {
        let room = it.size() as f64 / default.size().max(1) as f64;
        let seconds = tuned.sampled.seconds_of_all(it);
        table.add_row([
            if number == tuned.choice.index { "*" } else { "" }.to_owned(),
            difference(&it.tuning),
            units::bytes(it.stored_bytes),
            format!("{:.1} %", room * 100.0),
            format!("{}/s", units::bytes(it.speed() as u64)),
            units::bytes(it.duplicate_bytes),
            it.chunks_per_gib().to_string(),
            units::bytes(it.index_bytes_per_tib()),
            units::bytes(tuned.sampled.of_all(it.stored_bytes)),
            Duration::try_from_secs_f64(seconds).map_or("-".into(), units::duration),
        ]);
    }
    for number in 2..heads.len() {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// In what settings differ from the default, as in `level 6, chunks 32.0 KiB`.
fn difference(tuning: &Tuning) -> String {
    let default = Tuning::default();
    let mut parts = Vec::new();
    match tuning.zstd_level {
        level if level == default.zstd_level => {}
        0 => parts.push("level off".to_owned()),
        level => parts.push(format!("level {level}")),
    }
    if tuning.tree_chunk_avg != default.tree_chunk_avg {
        parts.push(format!("chunks {}", units::bytes(tuning.tree_chunk_avg)));
    }
    if tuning.frame_len != default.frame_len {
        parts.push(format!("frames {}", units::bytes(tuning.frame_len)));
    }
    if parts.is_empty() { "default".into() } else { parts.join(", ") }
}

/// Lists keys; the one in use is marked.
#[must_use]
pub fn keys(list: &[KeyInfo]) -> String {
    let mut table = plain(&["", "Slot", "Kind", "Secrets", "Label", "Created"]);
    for key in list {
        table.add_row([
            if key.current { "*" } else { "" }.to_owned(),
            json::short(&key.slot.to_string()).to_owned(),
            json::slot_kind(key.kind).to_owned(),
            if key.secrets { "yes" } else { "no" }.to_owned(),
            escape::text(&key.label),
            units::local_time(key.created_ns),
        ]);
    }
    table.trim_fmt()
}

/// An entry as `ls -l` shows it.
#[must_use]
pub fn long_entry(entry: &Entry) -> String {
    let owner = &entry.owner;
    let named = |name: &[u8], number: u32| {
        if name.is_empty() { number.to_string() } else { escape::name(name) }
    };
    let size = match entry.kind {
        EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            format!("{major},{minor}")
        }
        _ => entry.file_size().to_string(),
    };
    let target = match &entry.kind {
        EntryKind::Symlink { target } => format!(" -> {}", escape::name(target)),
        _ => String::new(),
    };
    format!(
        "{} {:<8} {:<8} {size:>12} {} {}{target}",
        permissions(entry),
        named(&owner.user, owner.uid),
        named(&owner.group, owner.gid),
        units::entry_local(entry.mtime),
        escape::path(entry.path.as_bytes()),
    )
}

/// Kind and mode in ten letters, as in `-rwsr-xr-x`.
#[must_use]
pub fn permissions(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::File { .. } => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharDevice { .. } => 'c',
        EntryKind::BlockDevice { .. } => 'b',
    };
    let mut letters = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = entry.mode >> shift & 0o7;
        letters.push(if bits & 4 != 0 { 'r' } else { '-' });
        letters.push(if bits & 2 != 0 { 'w' } else { '-' });
        letters.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_engine::model::{EntryPath, SlotId, SlotKind};

    fn entry(kind: EntryKind, mode: u32) -> Entry {
        Entry {
            path: EntryPath::new(&b"a\n"[..]).unwrap(),
            kind,
            mode,
            owner: Default::default(),
            mtime: Default::default(),
            ctime: Default::default(),
            inode: 1,
            racy: false,
            database: false,
            link_group: 0,
            xattrs: Default::default(),
        }
    }

    #[test]
    fn modes_read_as_those_of_ls() {
        for (mode, letters) in [
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o6644, "rwSr-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0o1000, "--------T"),
        ] {
            let shown = permissions(&entry(EntryKind::Directory, mode));
            assert_eq!(shown, format!("d{letters}"));
        }
    }

    #[test]
    fn hostile_names_stay_on_their_line() {
        let target = b"\x1b[2J".to_vec();
        let line = long_entry(&entry(EntryKind::Symlink { target }, 0o777));
        assert!(line.ends_with("/a\\n -> \\x1b[2J") && !line.contains('\n'), "{line}");
        let key = KeyInfo {
            slot: SlotId([0x1a; 16]),
            kind: SlotKind::Password,
            label: "a\nb".into(),
            created_ns: 0,
            current: true,
            secrets: true,
            present: true,
        };
        let list = keys(&[key]);
        assert_eq!(list.lines().count(), 2, "{list}");
        assert!(list.contains("1a1a1a1a") && list.contains("a\\nb"), "{list}");
    }
}
