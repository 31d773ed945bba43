//! HMAC with SHA-256 (RFC 2104, FIPS 198-1).

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};

/// The length of SHA-256's blocks in bytes.
const BLOCK: usize = 64;

/// A key, ready to hash with: what it begins the inner and the outer hash with.
#[derive(Clone)]
pub(crate) struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl fmt::Debug for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hmac(***)")
    }
}

impl Hmac {
    /// Takes up a key.
    pub(crate) fn new(key: &[u8]) -> Self {
        let hashed;
        let key = if key.len() > BLOCK {
            hashed = Sha256::digest(key);
            hashed.as_slice()
        } else {
            key
        };
        let begun = |with: u8| {
            let mut block = [with; BLOCK];
            for (place, byte) in block.iter_mut().zip(key) {
                *place ^= byte;
            }
            Sha256::new_with_prefix(block)
        };
        Self {
            inner: begun(0x36),
            outer: begun(0x5c),
        }
    }

    /// The first `bytes` bytes of the code of `message`, in hexadecimal digits.
    pub(crate) fn hex(&self, message: &[u8], bytes: usize) -> String {
        let inner = self.inner.clone().chain_update(message).finalize();
        let code = self.outer.clone().chain_update(inner).finalize();
        let mut text = String::with_capacity(2 * bytes);
        for byte in code.iter().take(bytes) {
            // Writing into a string does not fail.
            let _written = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_4231_come_out() {
        for (key, message, code) in [
            (
                vec![0x0b; 20],
                "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(Hmac::new(&key).hex(message.as_bytes(), 32), code);
        }
    }
}
