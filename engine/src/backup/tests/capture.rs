use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::backup::assemble::{Assembler, stream_kind};
use crate::backup::read::{Extra, Message, Output, Piece};
use crate::backup::{SourceOptions, backup};
use crate::error::{Kind, SourceError};
use crate::manifest::{Entries, chunks_of};
use crate::model::*;
use crate::observe::{Action, Progress, Silent};
use crate::repo::testing::*;
use crate::repo::{Known, Relied, Repository, Usable, Writing, write};
use crate::source::stream::{Input, StreamSource};

/// Fails the test instead of hanging.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waiting) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    waiting.recv_timeout(Duration::from_secs(120)).expect("the run ends")
}

struct Broken(Option<Vec<u8>>);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.take() {
            Some(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            None => Err(io::Error::other("the pipe broke")),
        }
    }
}

fn stream(reader: impl Read + Send + 'static) -> SourceOptions {
    let input = Input::Reader(Box::new(reader));
    SourceOptions::Stream(StreamSource { name: "dump".to_owned(), input })
}

#[test]
fn a_backup_comes_back_byte_for_byte() {
    let fixture = Fixture::new();
    fixture.file("empty", b"");
    fixture.file("small", b"small");
    fixture.file("large", &noise(1, 9 << 20));
    fixture.file("zeros", &vec![0; 5 << 20]);
    let mut options = fixture.tree();
    options.sources.push(stream(io::Cursor::new(noise(2, 5 << 20))));
    let summary = backup(&fixture.open("first"), options, &Silent).unwrap();
    assert!(!summary.partial && summary.errors == 0);
    let mut wanted = fixture.wanted();
    wanted.push(("dump".to_owned(), noise(2, 5 << 20)));
    assert!(fixture.read_all().unwrap() == [wanted]);
    let again = backup(&fixture.open("second"), fixture.tree(), &Silent).unwrap();
    assert_eq!((again.totals.files_unmodified, again.totals.data_added), (4, 0));
}

#[test]
fn one_of_two_sources_that_fails_makes_the_snapshot_partial() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    let mut options = fixture.tree();
    options.sources.push(stream(Broken(Some(noise(1, 1000)))));
    let summary = backup(&fixture.open("first"), options, &Silent).unwrap();
    assert!(summary.partial && summary.snapshot_id.is_some());
    assert_eq!(fixture.read_all().unwrap(), [fixture.wanted()]);
}

#[test]
fn a_source_that_fails_alone_lists_nothing() {
    let fixture = Fixture::new();
    let mut options = fixture.tree();
    options.sources = vec![stream(Broken(None))];
    let error = backup(&fixture.open("first"), options, &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(fixture.names("snapshots/").is_empty());
}

#[test]
fn a_wish_to_stop_is_not_a_problem_of_the_source() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    let mut options = fixture.tree();
    let heard = std::sync::Arc::new(Heard::default());
    struct Stops(std::sync::Arc<Heard>);
    impl Read for Stops {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.interrupted.store(true, Ordering::SeqCst);
            Err(io::Error::other("interrupted"))
        }
    }
    options.sources.push(stream(Stops(heard.clone())));
    let repo = fixture.open("first");
    let error = in_time(move || backup(&repo, options, heard.as_ref())).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    assert!(fixture.names("snapshots/").is_empty());
}

/// An entry and the chunks of its content.
type Assembled = (Entry, Vec<NodeRef>);

/// Runs an assembler over `messages`, each list a batch; gives the entries with their bytes.
fn assemble(
    repo: &Repository,
    batches: Vec<Vec<Message>>,
) -> crate::error::Result<(u64, Vec<Assembled>)> {
    let index = repo.load_index(&Silent)?;
    let usable = Usable::new(repo, &index, &repo.view()?, &Silent)?.0;
    let (relied, stored) = (Relied::new(&index), AtomicU64::new(0));
    let known = Known { index: &index, usable: &usable, relied: &relied };
    let (ordered, queue) = bounded(batches.len());
    for batch in batches {
        let (sender, receiver) = bounded(batch.len());
        batch.into_iter().for_each(|message| sender.send(message).unwrap());
        ordered.send(receiver).unwrap();
    }
    drop(ordered);
    let captured = write(repo, known, &stored, Writing::of(repo), |writer| {
        let key = repo.keyring().page_cut_key();
        Assembler::new(writer, &Silent, Class::Ordinary, key, Progress::default()).run(&queue)
    })?
    .0;
    let reader = repo.reader(&Silent)?;
    let get = |node: &NodeRef| reader.node(node);
    let mut found = Vec::new();
    for entry in Entries::all(&captured.root.unwrap().node, &get) {
        let entry = entry?;
        let EntryKind::File { content, .. } = &entry.kind else { panic!("a file") };
        let chunks = chunks_of(content, &get).map(|run| run.map(|(node, _)| node));
        let chunks = chunks.collect::<crate::error::Result<Vec<_>>>()?;
        found.push((entry, chunks));
    }
    Ok((captured.errors, found))
}

fn part(repo: &Repository, bytes: &[u8]) -> (Message, ChunkId) {
    let id = repo.keyring().data_id(Class::Ordinary, bytes).unwrap();
    let chunks = vec![(id, bytes.len() as u32)];
    (Message::Part(Piece { bytes: bytes.to_vec(), chunks, older: Vec::new() }), id)
}

fn entries(outputs: Vec<Output>) -> Message {
    Message::Entries { piece: Piece::default(), outputs }
}

fn large(path: &str, size: u64) -> Output {
    let entry = Entry {
        path: EntryPath::new(path.as_bytes().to_vec()).unwrap(),
        kind: stream_kind(size),
        mode: 0o600,
        owner: std::sync::Arc::new(Owner::default()),
        mtime: Time { secs: 0, nanos: 0 },
        ctime: Time { secs: 0, nanos: 0 },
        inode: 0,
        racy: false,
        database: false,
        link_group: 0,
        xattrs: Xattrs::default(),
    };
    let (action, extra) = (Action::New, Extra::default());
    Output::File { entry: Box::new(entry), action, extra, chunks: 0, large: true }
}

#[test]
fn parts_of_a_file_that_failed_do_not_go_into_the_next() {
    let fixture = Fixture::new();
    let repo = fixture.open("run");
    let (lost, _) = part(&repo, b"of a file that cannot be read on");
    let (kept, id) = part(&repo, b"whole");
    let problem = Output::Problem(SourceError::new("/a", "cannot be read"));
    let batches = vec![
        vec![lost, entries(vec![problem]), Message::End],
        vec![kept, entries(vec![large("b", 5)]), Message::End],
    ];
    let (errors, found) = assemble(&repo, batches).unwrap();
    assert_eq!((errors, found.len()), (1, 1));
    assert_eq!(found[0].1.iter().map(|node| node.id).collect::<Vec<_>>(), [id]);
}

#[test]
fn an_entry_that_cannot_be_stored_is_told_and_the_others_go_on() {
    let fixture = Fixture::new();
    let repo = fixture.open("run");
    // The second path is not above the first.
    let outputs = vec![large("b", 0), large("a", 0), large("c", 0)];
    let (errors, found) = assemble(&repo, vec![vec![entries(outputs), Message::End]]).unwrap();
    let paths: Vec<_> = found.iter().map(|(entry, _)| entry.path.name()).collect();
    assert_eq!((errors, paths), (1, vec![&b"b"[..], &b"c"[..]]));
}

#[test]
fn a_reader_that_stops_before_its_time_ends_the_run() {
    let fixture = Fixture::new();
    let repo = fixture.open("run");
    let batches = vec![vec![entries(vec![large("a", 0)])], vec![Message::End]];
    let outcome = in_time(move || assemble(&repo, batches).map(|_| ()));
    assert_eq!(outcome.unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn the_tiniest_chunks_fit_into_packs() {
    let fixture = Fixture::new();
    let repo = fixture.open("run");
    let index = repo.load_index(&Silent).unwrap();
    let usable = Usable::new(&repo, &index, &repo.view().unwrap(), &Silent).unwrap().0;
    let (relied, stored) = (Relied::new(&index), AtomicU64::new(0));
    let known = Known { index: &index, usable: &usable, relied: &relied };
    let count = 150_000_u32;
    let mut ids = Vec::new();
    write(&repo, known, &stored, Writing::of(&repo), |writer| {
        for _ in 0..2 {
            for number in 0..count {
                let bytes = number.to_le_bytes();
                let id = writer.name_data(Class::Ordinary, &bytes)?;
                writer.put_chunk(Class::Ordinary, id, &bytes)?;
                ids.push(id);
            }
        }
        Ok(())
    })
    .unwrap();
    let index = repo.load_index(&Silent).unwrap();
    assert_eq!(index.entry_count(), u64::from(count), "each is stored once");
    assert!(ids.iter().all(|id| index.find(id).len() == 1));
    assert!(stored.load(Ordering::Relaxed) > 0);
}
