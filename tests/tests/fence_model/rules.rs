//! The rules of the fence that a model may leave out: each must be missed.

/// A rule left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slip {
    /// A reader lists every snapshot object, whatever the closes say.
    NoFence,
    /// Look-ups rely on condemned and deleted packs.
    RelyOnCondemned,
    /// References of a parent from before an open generation are taken over without look-ups.
    ParentWhileOpen,
    /// As above, unless the parent is forgotten.
    ParentWhileOpenUnlessForgotten,
    /// References of any parent are taken over without look-ups.
    AnyParent,
    /// Packs that a look-up resolves to are not looked for in the store.
    NoPackListing,
    /// A look-up finds a chunk without the bases of its frame.
    LookUpWithoutBases,
    /// A difference counts as present, whatever became of its bases.
    IgnoreBases,
    /// A copy stored as a difference counts as a base.
    DeltaAsBase,
    /// A frame counts as present with the first of its bases.
    FirstBaseOnly,
    /// A second walk believes what the first one found.
    BelieveFirstWalk,
    /// No index segment is put.
    NoSegment,
    /// The generations are looked at before the snapshot is put.
    LookBeforePut,
    /// The generations are not looked at again.
    NoLook,
    /// A create without a reply counts as done.
    LostReplyIsSuccess,
    /// Prune rescues for the snapshots of the last generation alone, though it did not mark.
    RescueForNewOnly,
    /// Prune does not load the segments again after its generation is there.
    NoReload,
    /// Prune takes a chunk that it cannot resolve for damage of old.
    GoOnUnresolved,
    /// Nothing is taken out of the condemned set.
    NoRescue,
    /// Bases are not rescued.
    RescueWithoutBases,
    /// Segments are merged before the close.
    MergeBeforeClose,
    /// Merging deletes every segment there is.
    DeleteAllSegments,
    /// The loser of the race for a close deletes what it chose itself.
    DeleteOwnChoice,
    /// Prune believes the index without a listing of packs.
    MarkWithoutListing,
    /// A mark lists the snapshots after the segments.
    ListSnapshotsLast,
    /// A deleted pack leaves the cumulative set while it is still in the store.
    LeaveWhileStored,
    /// Segments without the deleted packs are written before the fate is known.
    MergeBeforeFate,
    /// Packs are deleted after the close, whatever the fate.
    DeleteWithoutFate,
    /// A generation is made while the fate of the one before is open.
    MarkBeforeFate,
    /// The generation after an undone one does not return its packs.
    UndoWithoutPacks,
    /// The generation after an undone one does not return its snapshots.
    UndoWithoutSnapshots,
    /// A forget counts as undone if a reader lists the snapshot, though the open generation may close
    /// without it.
    UndoBelievesReader,
    /// A forget counts as undone without a look at the generations.
    UndoWithoutLook,
    /// A pack is put again under its name when the reply to the first create did not come.
    PutAgainUnderOneName,
    /// A generation that exists counts as the one that was to be created.
    ExistsMeansOwn,
    /// A copy in a bad pack counts in marks and rescues like any other.
    CountBadCopies,
    /// The records of bad packs are not loaded again for the rescue.
    NoBadReload,
    /// A close that lists an older object of the run is enough to acknowledge.
    AcknowledgeByRun,
    /// Look-ups rely on bad packs.
    RelyOnBad,
    /// References of a parent are taken over though a pack was found bad since.
    ParentDespiteBad,
    /// An entry whose chunk can be uploaded no more keeps it.
    KeepLostChunk,
    /// Of an entry read again only the absent chunks are taken.
    PatchEntry,
}
