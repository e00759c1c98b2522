//! Randomness for what must not be guessed or must not collide. Everything else takes its identifiers as arguments.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// A secret of 256 bits, as text that needs no quoting anywhere.
#[must_use]
pub fn secret() -> Zeroizing<String> {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
    Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

/// An identifier of 64 bits in hex digits: of a token in a list, of a change through the logs.
#[must_use]
pub fn id() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        assert_ne!(*secret(), *secret());
        assert_eq!(secret().len(), 43);
        assert_ne!(id(), id());
        assert_eq!(id().len(), 16);
    }
}
