//! A small seeded generator for UIDs and name suffixes: the same seed gives the same cluster.

/// SplitMix64: eight bytes of state.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// From a seed.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number between 0 and 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        let top = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(top) / (f64::from(u32::MAX) + 1.0)
    }

    /// A UID, in the form of a version 4 UUID.
    pub(crate) fn uid(&mut self) -> String {
        let high = (self.next() & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (self.next() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// A name suffix of five letters, as the server makes them.
    pub(crate) fn suffix(&mut self) -> String {
        let bits = self.next();
        (0..5).map(|place| letter(bits >> (8 * place))).collect()
    }
}

/// The letters that generated names are made of: no vowels, no digits that look like letters.
fn letter(bits: u64) -> char {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let place = usize::try_from(bits % 27).unwrap_or(0);
    char::from(LETTERS.get(place).copied().unwrap_or(b'b'))
}

/// A short stable hash in the letters of generated names, such as the one of a pod template.
#[must_use]
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (0..9).map(|place| letter(hash >> (6 * place))).collect()
}
