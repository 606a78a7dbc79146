//! Chunks laid end to end ↔ one compressed payload: by itself, or against the bytes of its bases.

mod header;
mod probe;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use zstd::zstd_safe::{CCtx, CParameter, DCtx, compress_bound, get_error_name};

use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::Codec;

/// What a frame's plaintext became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    pub codec: Codec,
    /// zstd level used; 0 for raw.
    pub level: i8,
    /// Bytes of plaintext.
    pub plain_len: u32,
    /// What is sealed.
    pub payload: Vec<u8>,
}

/// Contexts that nobody uses: each owns tables of a few MiB. Not one for each thread: there are as many as
/// frames are in work at once, however many processors there are.
static COMPRESSORS: Mutex<Vec<CCtx<'static>>> = Mutex::new(Vec::new());
static DECOMPRESSORS: Mutex<Vec<DCtx<'static>>> = Mutex::new(Vec::new());

/// Bytes of a context of this level beyond those of the default one, at most about: what
/// `ZSTD_estimateCCtxSize` of zstd 1.5 says.
#[must_use]
pub fn extra_state_len(level: i32) -> u64 {
    match level {
        ..=3 => 0,
        4..=6 => 4 << 20,
        7..=8 => 8 << 20,
        9 => 12 << 20,
        10..=11 => 24 << 20,
        12..=14 => 48 << 20,
        15..=18 => 64 << 20,
        // Of a frame of the longest length that writers make.
        _ => 96 << 20,
    }
}

/// Compresses a frame by itself with zstd at `level` (1 to 22, or negative for faster ones), or
/// leaves it raw if it hardly shrinks. The window covers the whole frame.
///
/// # Errors
/// `Input` if the frame is empty, above [`limits::FRAME_PLAIN_LEN_MAX`], or the level unknown;
/// `Unavailable` if memory is short.
pub fn compress(plain: Vec<u8>, level: i32) -> Result<Compressed> {
    compress_in(plain, level, Vec::new()).map(|(compressed, _)| compressed)
}

/// Compresses as [`compress`] does, in `room`, whose memory is used again. If the frame stays as it is,
/// the room is given back.
///
/// # Errors
/// As [`compress`].
pub fn compress_in(plain: Vec<u8>, level: i32, room: Vec<u8>) -> Result<(Compressed, Vec<u8>)> {
    let plain_len = check_plain(&plain)?;
    let recorded = check_level(level)?;
    let mut payload = room;
    if !probe::is_incompressible(&plain) {
        with_compressor(|context| compress_with(context, &plain, 0, level, &mut payload))?;
        if is_worth_it(payload.len(), plain.len()) {
            let codec = Codec::Zstd;
            return Ok((Compressed { codec, level: recorded, plain_len, payload }, Vec::new()));
        }
    }
    Ok((Compressed { codec: Codec::Raw, level: 0, plain_len, payload: plain }, payload))
}

/// Leaves a frame as it is: how much of a secret compresses away would show in its length.
///
/// # Errors
/// `Input` if the frame is empty or above [`limits::FRAME_PLAIN_LEN_MAX`].
pub fn raw(plain: Vec<u8>) -> Result<Compressed> {
    let plain_len = check_plain(&plain)?;
    Ok(Compressed { codec: Codec::Raw, level: 0, plain_len, payload: plain })
}

/// Compresses a frame with zstd at `level` against `prefix`, which [`expand`] needs again. The two
/// are different buffers: zstd ignores a prefix that overlaps the plaintext in memory.
///
/// # Errors
/// As [`compress`]; also `Input` if the prefix is empty or above [`limits::PREFIX_LEN_MAX`].
pub fn compress_delta(plain: &[u8], prefix: &[u8], level: i32) -> Result<Compressed> {
    let plain_len = check_plain(plain)?;
    let recorded = check_level(level)?;
    check_prefix(prefix, Kind::Input)?;
    // A context borrows its prefix, so it cannot outlive this call.
    let mut context = CCtx::try_create().ok_or_else(no_memory)?;
    context.ref_prefix(prefix).map_err(failed)?;
    let mut payload = Vec::new();
    compress_with(&mut context, plain, prefix.len(), level, &mut payload)?;
    Ok(Compressed { codec: Codec::Zstd, level: recorded, plain_len, payload })
}

/// Expands a payload to exactly `plain_len` bytes, against the prefix if it was compressed so.
/// Takes no more memory than that, whatever the payload claims.
///
/// # Errors
/// `Corrupt` if the payload breaks a rule of the format or does not give exactly `plain_len` bytes.
pub fn expand(
    codec: Codec,
    payload: Vec<u8>,
    plain_len: u32,
    prefix: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let mut room = Vec::new();
    let is_raw = codec == Codec::Raw;
    expand_in(codec, &payload, plain_len, prefix, &mut room)?;
    Ok(if is_raw { payload } else { room })
}

/// Expands a payload as [`expand`] does, in `room`, whose memory is used again; a raw one stays where
/// it is.
///
/// # Errors
/// As [`expand`].
pub fn expand_in<'r>(
    codec: Codec,
    payload: &'r [u8],
    plain_len: u32,
    prefix: Option<&[u8]>,
    room: &'r mut Vec<u8>,
) -> Result<&'r [u8]> {
    if plain_len == 0 || plain_len > limits::FRAME_PLAIN_LEN_MAX {
        return Err(corrupt(format!("a frame of {plain_len} bytes is outside the limits")));
    }
    let wanted = plain_len as usize;
    let plain = match (codec, prefix) {
        (Codec::Raw, None) => payload,
        (Codec::Raw, Some(_)) => return Err(corrupt("a raw frame has bases")),
        (Codec::Zstd, prefix) => {
            header::check(payload, u64::from(plain_len)).map_err(corrupt)?;
            expand_zstd(payload, wanted, prefix, room)?;
            room
        }
    };
    if plain.len() == wanted {
        Ok(plain)
    } else {
        Err(corrupt(format!("a frame expands to {} bytes instead of {wanted}", plain.len())))
    }
}

fn expand_zstd(
    payload: &[u8],
    plain_len: usize,
    prefix: Option<&[u8]>,
    plain: &mut Vec<u8>,
) -> Result<()> {
    plain.clear();
    plain.try_reserve_exact(plain_len).map_err(|_| no_memory())?;
    let done = match prefix {
        Some(prefix) => {
            check_prefix(prefix, Kind::Corrupt)?;
            let mut context = DCtx::try_create().ok_or_else(no_memory)?;
            context.ref_prefix(prefix).map_err(failed)?;
            context.decompress(plain, payload)
        }
        None => with_decompressor(|context| Ok(context.decompress(plain, payload)))?,
    };
    done.map_err(|code| corrupt(format!("a frame does not expand: {}", get_error_name(code))))?;
    Ok(())
}

fn with_compressor<T>(act: impl FnOnce(&mut CCtx<'static>) -> Result<T>) -> Result<T> {
    with_one_of(&COMPRESSORS, CCtx::try_create, act)
}

fn with_decompressor<T>(act: impl FnOnce(&mut DCtx<'static>) -> Result<T>) -> Result<T> {
    with_one_of(&DECOMPRESSORS, DCtx::try_create, act)
}

/// Acts with a context that nobody uses, or a new one, and gives it back.
fn with_one_of<C, T>(
    idle: &Mutex<Vec<C>>,
    make: impl FnOnce() -> Option<C>,
    act: impl FnOnce(&mut C) -> Result<T>,
) -> Result<T> {
    let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
    let found = idle().pop();
    let mut context = found.or_else(make).ok_or_else(no_memory)?;
    let done = act(&mut context);
    idle().push(context);
    done
}

fn compress_with(
    context: &mut CCtx<'_>,
    plain: &[u8],
    prefix_len: usize,
    level: i32,
    payload: &mut Vec<u8>,
) -> Result<()> {
    let parameters = [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(window_log(plain.len() + prefix_len)),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ];
    for parameter in parameters {
        context.set_parameter(parameter).map_err(failed)?;
    }
    payload.clear();
    payload.reserve_exact(compress_bound(plain.len()));
    context.compress2(payload, plain).map_err(failed)?;
    Ok(())
}

/// The smallest window that reaches from the last byte to the first.
fn window_log(len: usize) -> u32 {
    const LOG_MIN: u32 = 17;
    len.next_power_of_two().trailing_zeros().clamp(LOG_MIN, limits::ZSTD_WINDOW_LOG_MAX)
}

/// True if compressing saves at least 3 %: less is not worth the expanding.
fn is_worth_it(payload_len: usize, plain_len: usize) -> bool {
    payload_len < plain_len - plain_len * 3 / 100
}

fn check_plain(plain: &[u8]) -> Result<u32> {
    match u32::try_from(plain.len()) {
        Ok(len) if (1..=limits::FRAME_PLAIN_LEN_MAX).contains(&len) => Ok(len),
        _ => Err(Error::new(Kind::Input, format!("no frame can hold {} bytes", plain.len()))),
    }
}

fn check_level(level: i32) -> Result<i8> {
    match i8::try_from(level) {
        Ok(recorded) if recorded != 0 && recorded <= 22 => Ok(recorded),
        _ => Err(Error::new(Kind::Input, format!("zstd has no level {level}"))),
    }
}

fn check_prefix(prefix: &[u8], kind: Kind) -> Result<()> {
    if prefix.is_empty() || prefix.len() > limits::PREFIX_LEN_MAX as usize {
        return Err(Error::new(kind, format!("a prefix of {} bytes", prefix.len())));
    }
    Ok(())
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, what)
}

fn no_memory() -> Error {
    Error::new(Kind::Unavailable, "not enough memory to compress or expand")
}

fn failed(code: usize) -> Error {
    Error::new(Kind::Unavailable, format!("zstd: {}", get_error_name(code)))
}
