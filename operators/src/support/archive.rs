//! Zip archives, as far as reading them needs: stored and deflated members, without passwords.
//!
//! <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom, Take},
    path::Path,
};

use flate2::{Crc, read::DeflateDecoder};

/// How far from a file's end its directory's end can begin: a comment may follow it.
const FAR: u64 = 22 + 65_535;

/// An open archive.
#[derive(Debug)]
pub(crate) struct Archive {
    file: File,
    members: Vec<Member>,
}

/// A file within an archive.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its path within the archive.
    pub(crate) name: String,
    method: u16,
    locked: bool,
    crc: u32,
    packed: u64,
    /// Its size when it is unpacked.
    pub(crate) size: u64,
    header: u64,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Numbers out of bytes, little end first.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| wrong("its directory is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, size: usize) -> io::Result<u64> {
        let bytes = self.bytes(size)?.iter().rev();
        Ok(bytes.fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn short(&mut self) -> io::Result<u16> {
        self.number(2)
            .map(|number| u16::try_from(number).unwrap_or_default())
    }
}

impl Archive {
    /// Reads an archive's directory.
    ///
    /// # Errors
    /// When it cannot be read, or is no archive.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(FAR);
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut end)?;
        let at = memchr::memmem::rfind(&end, b"PK\x05\x06")
            .ok_or_else(|| wrong("its directory is missing: is it complete?"))?;
        let mut fields = Fields(end.get(at + 8..).unwrap_or_default());
        let (_, count) = (fields.short()?, fields.number(2)?);
        let (size, offset) = (fields.number(4)?, fields.number(4)?);
        let large = offset == u64::from(u32::MAX) || count == u64::from(u16::MAX);
        let (count, size, offset) = if large {
            Self::far_end(&mut file, from + at as u64)?
        } else {
            (count, size, offset)
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut directory = Vec::new();
        (&file).take(size.min(length)).read_to_end(&mut directory)?;
        let mut fields = Fields(&directory);
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(Member::read(&mut fields)?);
        }
        Ok(Self { file, members })
    }

    /// The directory's place in an archive of more than 4 GiB.
    fn far_end(file: &mut File, end: u64) -> io::Result<(u64, u64, u64)> {
        let mut locator = [0; 20];
        let before = end
            .checked_sub(20)
            .ok_or_else(|| wrong("its directory is missing"))?;
        file.seek(SeekFrom::Start(before))?;
        file.read_exact(&mut locator)?;
        let mut fields = Fields(locator.get(8..).unwrap_or_default());
        file.seek(SeekFrom::Start(fields.number(8)?))?;
        let mut record = [0; 56];
        file.read_exact(&mut record)?;
        let mut fields = Fields(record.get(32..).unwrap_or_default());
        Ok((fields.number(8)?, fields.number(8)?, fields.number(8)?))
    }

    /// What is in it.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The content of a member.
    ///
    /// # Errors
    /// When it is packed in a way that we do not know.
    pub(crate) fn read(&self, member: &Member) -> io::Result<impl Read + use<>> {
        if member.locked {
            return Err(wrong("it is locked by a password"));
        }
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(member.header))?;
        let mut header = [0; 30];
        file.read_exact(&mut header)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(wrong("a member is not where its directory says"));
        }
        let mut fields = Fields(header.get(26..).unwrap_or_default());
        let skipped = fields.number(2)? + fields.number(2)?;
        file.seek(SeekFrom::Current(
            i64::try_from(skipped).unwrap_or_default(),
        ))?;
        let packed = BufReader::with_capacity(1 << 18, file.take(member.packed));
        let content = match member.method {
            0 => Content::Stored(packed),
            8 => Content::Deflated(Box::new(DeflateDecoder::new(packed))),
            _ => return Err(wrong("a member is packed in a way that is not known")),
        };
        Ok(Checked {
            content,
            crc: Crc::new(),
            expected: member.crc,
            left: member.size,
        })
    }
}

impl Member {
    fn read(fields: &mut Fields<'_>) -> io::Result<Self> {
        if fields.bytes(4)? != b"PK\x01\x02" {
            return Err(wrong("its directory is damaged"));
        }
        fields.bytes(4)?;
        let (flags, method) = (fields.short()?, fields.short()?);
        fields.bytes(4)?;
        let crc = u32::try_from(fields.number(4)?).unwrap_or_default();
        let (mut packed, mut size) = (fields.number(4)?, fields.number(4)?);
        let (name, extra, comment) = (fields.short()?, fields.short()?, fields.short()?);
        fields.bytes(8)?;
        let mut header = fields.number(4)?;
        let name = String::from_utf8_lossy(fields.bytes(usize::from(name))?).into_owned();
        let mut extra = Fields(fields.bytes(usize::from(extra))?);
        fields.bytes(usize::from(comment))?;
        while extra.0.len() >= 4 {
            let (id, length) = (extra.short()?, extra.short()?);
            let mut inside = Fields(extra.bytes(usize::from(length))?);
            if id == 1 {
                for large in [&mut size, &mut packed, &mut header] {
                    if *large == u64::from(u32::MAX) {
                        *large = inside.number(8)?;
                    }
                }
            }
        }
        Ok(Self {
            name,
            method,
            locked: flags & 1 == 1,
            crc,
            packed,
            size,
            header,
        })
    }
}

enum Content {
    Stored(BufReader<Take<File>>),
    Deflated(Box<DeflateDecoder<BufReader<Take<File>>>>),
}

/// Content whose sum is compared at its end.
struct Checked {
    content: Content,
    crc: Crc,
    expected: u32,
    left: u64,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.content {
            Content::Stored(content) => content.read(buffer)?,
            Content::Deflated(content) => content.read(buffer)?,
        };
        self.crc.update(buffer.get(..read).unwrap_or_default());
        self.left = self.left.saturating_sub(read as u64);
        if read == 0 && !buffer.is_empty() {
            if self.left > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.crc.sum() != self.expected {
                return Err(wrong("its sum is another one"));
            }
        }
        Ok(read)
    }
}

/// Writes archives, for tests.
#[cfg(test)]
pub(crate) mod testing {
    use std::io::Write as _;

    use flate2::{Compression, Crc, write::DeflateEncoder};

    fn put(bytes: &mut Vec<u8>, number: u64, size: usize) {
        bytes.extend(&number.to_le_bytes()[..size]);
    }

    /// An archive of these names and contents.
    pub(crate) fn zipped(members: &[(&str, &str)]) -> Vec<u8> {
        let (mut archive, mut directory) = (Vec::new(), Vec::new());
        for (name, text) in members {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            let packed = encoder.finish().unwrap();
            let mut crc = Crc::new();
            crc.update(text.as_bytes());
            let mut about = Vec::new();
            for (number, size) in [(20, 2), (0, 2), (8, 2), (0, 4), (u64::from(crc.sum()), 4)] {
                put(&mut about, number, size);
            }
            for number in [packed.len(), text.len()] {
                put(&mut about, number as u64, 4);
            }
            put(&mut about, name.len() as u64, 2);
            put(&mut about, 0, 2);
            let offset = archive.len() as u64;
            archive.extend(b"PK\x03\x04");
            archive.extend(&about);
            archive.extend(name.as_bytes());
            archive.extend(&packed);
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&about);
            for (number, size) in [(0, 2), (0, 2), (0, 2), (0, 4), (offset, 4)] {
                put(&mut directory, number, size);
            }
            directory.extend(name.as_bytes());
        }
        let offset = archive.len() as u64;
        archive.extend(&directory);
        archive.extend(b"PK\x05\x06\x00\x00\x00\x00");
        for (number, size) in [(members.len() as u64, 2), (members.len() as u64, 2)] {
            put(&mut archive, number, size);
        }
        put(&mut archive, directory.len() as u64, 4);
        put(&mut archive, offset, 4);
        put(&mut archive, 0, 2);
        archive
    }
}
