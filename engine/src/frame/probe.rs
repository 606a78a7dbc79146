//! A cheap guess whether compressing is in vain: media, archives and ciphertext.

/// Bytes between the starts of two samples, and bytes of one.
const STRIDE: usize = 64 << 10;
const SAMPLE_LEN: usize = 2 << 10;
/// Shorter frames are simply compressed.
const PROBED_LEN_MIN: usize = 16 << 10;
/// Bits a byte above which samples are worth a second look. Text has 4 to 5, programs 6, JPEG
/// 7.9, archives and ciphertext 7.99.
const ENTROPY_MIN: f64 = 7.8;

/// True if samples from all over `plain` do not shrink. It may say no for what does not compress;
/// it says yes only if the samples have neither uneven bytes nor repetitions.
pub(super) fn is_incompressible(plain: &[u8]) -> bool {
    if plain.len() < PROBED_LEN_MIN {
        return false;
    }
    let stride = STRIDE.min(plain.len() / 8);
    let mut samples = Vec::with_capacity(plain.len() / stride * SAMPLE_LEN + SAMPLE_LEN);
    for part in plain.chunks(stride) {
        let start = part.len().saturating_sub(SAMPLE_LEN) / 2;
        let end = part.len().min(start + SAMPLE_LEN);
        samples.extend_from_slice(part.get(start..end).unwrap_or_default());
    }
    entropy(&samples) > ENTROPY_MIN && !shrinks(&samples)
}

/// Bits a byte if every byte stood for itself.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    let bits = |count: &u32| {
        let share = f64::from(*count) / total;
        if share > 0.0 { -share * share.log2() } else { 0.0 }
    };
    counts.iter().map(bits).sum()
}

fn shrinks(samples: &[u8]) -> bool {
    let mut payload = Vec::new();
    super::with_compressor(|context| super::compress_with(context, samples, 0, 1, &mut payload))
        .map_or(true, |()| super::is_worth_it(payload.len(), samples.len()))
}
