//! SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104).

use ring::{digest, hmac};

/// The hash of these parts, one after the other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    bytes(context.finish().as_ref())
}

/// The keyed hash of these parts, one after the other. A key may have any length.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    bytes(context.sign().as_ref())
}

fn bytes(hash: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example for one block.
    #[test]
    fn the_published_hash_is_computed_from_any_number_of_parts() {
        let published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(sha256(&[b"abc"])), published);
        assert_eq!(hex::encode(sha256(&[b"a", b"", b"bc"])), published);
    }

    /// RFC 4231, section 4: test cases 2, and 6 with a key that is longer than a block.
    #[test]
    fn the_published_keyed_hashes_are_computed() {
        assert_eq!(
            hex::encode(hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex::encode(hmac_sha256(
                &[0xaa; 131],
                &[b"Test Using Larger Than Block-Size Key - Hash Key First"]
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
