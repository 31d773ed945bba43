//! An answer's body on its way: unpacked as the server has packed it, and never larger than it may be.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
};

use flate2::write::MultiGzDecoder;

/// What is asked for: the only packing that is unpacked here.
pub(super) const ACCEPTED: &str = "gzip";

/// Takes a body, part by part.
pub(super) enum Body<W: Write> {
    Plain(Limited<W>),
    Gzip(Box<MultiGzDecoder<Limited<W>>>),
}

/// A body of another packing than was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown(pub(super) String);

impl<W: Write> Body<W> {
    /// One that is packed as the header `Content-Encoding` says, and has at most `limit` bytes when it is unpacked.
    pub(super) fn new(packing: Option<&str>, target: W, limit: u64) -> Result<Self, Unknown> {
        let target = Limited {
            target,
            left: limit,
        };
        match packing.map(|name| name.trim().to_ascii_lowercase()) {
            None => Ok(Self::Plain(target)),
            Some(name) => match &*name {
                "" | "identity" => Ok(Self::Plain(target)),
                "gzip" | "x-gzip" => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(target)))),
                _ => Err(Unknown(name)),
            },
        }
    }

    /// Takes the next part.
    pub(super) fn take(&mut self, part: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(target) => target.write_all(part),
            Self::Gzip(decoder) => decoder.write_all(part),
        }
    }

    /// The target, with all that was in the body.
    pub(super) fn finish(self) -> io::Result<W> {
        Ok(match self {
            Self::Plain(target) => target.target,
            Self::Gzip(decoder) => decoder.finish()?.target,
        })
    }
}

/// That a body has more bytes than it may have.
#[derive(Debug)]
struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is more than there may be")
    }
}

impl Error for TooLarge {}

/// Whether an error says that a body is too large.
pub(super) fn is_too_large(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TooLarge>())
        .is_some()
}

/// What takes only so many bytes.
pub(super) struct Limited<W> {
    target: W,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if part.len() as u64 > self.left {
            return Err(io::Error::other(TooLarge));
        }
        let written = self.target.write(part)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn read(packing: Option<&str>, body: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut taken = Body::new(packing, Vec::new(), limit).unwrap();
        for part in body.chunks(7) {
            taken.take(part)?;
        }
        taken.finish()
    }

    #[test]
    fn bodies_are_unpacked() {
        let content = b"one,two\n".repeat(100);
        let gzip = packed(&content);
        for (packing, body) in [
            (None, &content),
            (Some("identity"), &content),
            (Some("gzip"), &gzip),
            (Some(" X-Gzip"), &gzip),
        ] {
            assert_eq!(read(packing, body, 800).unwrap(), content, "{packing:?}");
            let error = read(packing, body, 799).unwrap_err();
            assert!(is_too_large(&error), "{error}");
        }
        assert_eq!(
            Body::new(Some("br"), Vec::new(), 1).err(),
            Some(Unknown("br".to_owned()))
        );
    }

    #[test]
    fn a_body_that_is_cut_off_or_damaged_is_none() {
        let gzip = packed(&b"one,two\n".repeat(100));
        for length in 1..gzip.len() {
            let error = read(Some("gzip"), &gzip[..length], 1_000).err();
            assert!(
                error.is_some_and(|error| !is_too_large(&error)),
                "{length} of {}",
                gzip.len()
            );
        }
        assert!(read(Some("gzip"), b"<html>no gzip at all</html>", 1_000).is_err());
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = packed(&vec![0; 50_000_000]);
        assert!(bomb.len() < 100_000);
        let mut taken = Body::new(Some("gzip"), Vec::new(), 1_000_000).unwrap();
        let error = taken.take(&bomb).unwrap_err();
        assert!(is_too_large(&error));
        let Body::Gzip(decoder) = &taken else {
            unreachable!()
        };
        assert!(decoder.get_ref().target.len() <= 1_000_000);
    }
}
