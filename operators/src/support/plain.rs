//! Files as their readers want them: unpacked, and text as UTF-8.
//!
//! What a file is packed with is told by its first bytes, not by its name: servers and browsers unpack on the way.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use pipectl_engine::operator::{SizeText, TaskContext, TaskError};

use super::{
    archive::Archive,
    files::{Found, io_error},
    location::Temporary,
};

/// How much is read at once.
const PART: usize = 1 << 20;

/// A file that can be read as it is.
#[derive(Debug)]
pub(crate) struct Plain {
    /// Where it is now, and how to speak of it.
    pub(crate) file: Found,
    /// What is removed with it.
    pub(crate) _made: Option<Temporary>,
}

/// What a file is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
    Zip,
}

impl Packing {
    fn of(file: &Path) -> io::Result<Option<Self>> {
        Ok(match first_bytes::<4>(file)? {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd] => Some(Self::Zstd),
            [b'P', b'K', 3, 4] => Some(Self::Zip),
            _ => None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Zip => "zip",
        }
    }
}

/// The first bytes of a file; zeros where it is shorter.
fn first_bytes<const N: usize>(file: &Path) -> io::Result<[u8; N]> {
    let (mut bytes, mut filled) = ([0; N], 0);
    let mut file = File::open(file)?;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(bytes)
}

/// How much may be in a packed file whatever its size.
const HARMLESS: u64 = 1 << 30;
/// How many times larger than the file its content may be; texts rarely come to thirty.
const RATIO: u64 = 200;

/// How much more may be unpacked.
struct Room {
    limit: u64,
    left: u64,
}

impl Room {
    /// What the setting `max_unpacked` says; without it a content that no honest file comes to is refused.
    fn new(found: &Found, limit: Option<SizeText>) -> Self {
        let usual = found.size.saturating_mul(RATIO).max(HARMLESS);
        let limit = limit.map_or(usual, |limit| limit.0);
        Self { limit, left: limit }
    }

    fn take(&mut self, read: usize, shown: &str) -> Result<(), TaskError> {
        let Some(left) = self.left.checked_sub(read as u64) else {
            let limit = size(self.limit);
            return Err(
                TaskError::user(format!("more than {limit} are packed in `{shown}`"))
                    .hint("if that is right, say how much it may be: `max_unpacked: 500GiB`"),
            );
        };
        self.left = left;
        Ok(())
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{bytes} bytes"),
        1_048_576..10_737_418_240 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// The files in place of `found` that are not packed: itself, or what was in it, of `limit` bytes at most.
///
/// # Errors
/// When it is damaged or ends too early, too much is in it, or there is no room.
pub(crate) fn unpacked(
    context: &TaskContext,
    found: Found,
    limit: Option<SizeText>,
) -> Result<Vec<Plain>, TaskError> {
    let packing =
        Packing::of(&found.path).map_err(|error| io_error("read", &found.shown, error))?;
    let Some(packing) = packing else {
        return Ok(vec![Plain {
            file: found,
            _made: None,
        }]);
    };
    let mut room = Room::new(&found, limit);
    let fail = |error: io::Error| damaged(packing, &found.shown, error);
    let open = || File::open(&found.path).map(|file| BufReader::with_capacity(PART, file));
    match packing {
        Packing::Gzip => {
            let source = flate2::bufread::MultiGzDecoder::new(open().map_err(fail)?);
            Ok(vec![copied(
                context,
                &found,
                &found.shown,
                source,
                packing,
                &mut room,
            )?])
        }
        Packing::Zstd => {
            let source = zstd::stream::read::Decoder::with_buffer(open().map_err(fail)?);
            let source = source.map_err(fail)?;
            Ok(vec![copied(
                context,
                &found,
                &found.shown,
                source,
                packing,
                &mut room,
            )?])
        }
        Packing::Zip => members(context, &found, &mut room),
    }
}

fn members(context: &TaskContext, found: &Found, room: &mut Room) -> Result<Vec<Plain>, TaskError> {
    let wrong = |error| damaged(Packing::Zip, &found.shown, error);
    let archive = Archive::open(&found.path).map_err(wrong)?;
    let mut plain = Vec::new();
    for member in archive.members() {
        let mut parts = member.name.split('/');
        let hidden = parts.any(|part| part.starts_with('.') || part == "__MACOSX");
        if member.name.ends_with('/') || hidden {
            continue;
        }
        let shown = format!("{}:{}", found.shown, member.name);
        let content = archive.read(member).map_err(wrong)?;
        plain.push(copied(context, found, &shown, content, Packing::Zip, room)?);
    }
    if plain.is_empty() {
        return Err(TaskError::user(format!(
            "there is no file in `{}`",
            found.shown
        )));
    }
    plain.sort_by(|left, right| left.file.shown.cmp(&right.file.shown));
    Ok(plain)
}

fn copied(
    context: &TaskContext,
    found: &Found,
    shown: &str,
    mut source: impl Read,
    packing: Packing,
    room: &mut Room,
) -> Result<Plain, TaskError> {
    let temporary = Temporary::new(context)?;
    let full = |error| io_error("unpack", shown, error);
    let mut target = File::create_new(&temporary.0).map_err(full)?;
    let (mut part, mut size) = (vec![0; PART], 0);
    loop {
        stop_when_told(context)?;
        // What fails to be read is the file's fault, what fails to be written the disk's.
        let read = source
            .read(&mut part)
            .map_err(|error| damaged(packing, shown, error))?;
        let Some(part) = part.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        room.take(read, &found.shown)?;
        target.write_all(part).map_err(full)?;
        size += read as u64;
    }
    Ok(Plain {
        file: Found {
            path: temporary.0.clone(),
            shown: shown.to_owned(),
            size,
            ..found.clone()
        },
        _made: Some(temporary),
    })
}

/// A failure while unpacking: most often the file is not what it should be.
fn damaged(packing: Packing, shown: &str, error: io::Error) -> TaskError {
    use io::ErrorKind as K;
    let name = packing.name();
    let text = error.to_string();
    if error.kind() == K::UnexpectedEof || text.contains("incomplete frame") {
        return TaskError::user(format!(
            "`{shown}` ends too early: its {name} data is cut off"
        ))
        .hint("was it still being written or copied? `settle` of a sensor waits until it is not");
    }
    if matches!(error.kind(), K::InvalidData | K::InvalidInput | K::Other) {
        return TaskError::user(format!("the {name} data of `{shown}` is damaged")).because(error);
    }
    io_error("unpack", shown, error)
}

/// What the mark at a file's beginning says about its encoding.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn marked(file: &Found) -> Result<Option<&'static Encoding>, TaskError> {
    let first =
        first_bytes::<3>(&file.path).map_err(|error| io_error("read", &file.shown, error))?;
    Ok(match first {
        [0xef, 0xbb, 0xbf] => Some(UTF_8),
        [0xff, 0xfe, _] => Some(UTF_16LE),
        [0xfe, 0xff, _] => Some(UTF_16BE),
        _ => None,
    })
}

/// The same text in UTF-8, without a mark.
///
/// # Errors
/// When bytes stand for no character, naming the line; or there is no room.
pub(crate) fn decoded(
    context: &TaskContext,
    plain: &Plain,
    encoding: &'static Encoding,
) -> Result<Plain, TaskError> {
    let found = &plain.file;
    let temporary = Temporary::new(context)?;
    let unread = |error| io_error("read", &found.shown, error);
    let full = |error| io_error("decode", &found.shown, error);
    let mut source = File::open(&found.path).map_err(unread)?;
    let mut target = BufWriter::new(File::create_new(&temporary.0).map_err(full)?);
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let (mut part, mut line) = (vec![0; PART], 1_u64);
    let mut text = String::with_capacity(PART * 3 + 16);
    loop {
        stop_when_told(context)?;
        let read = source.read(&mut part).map_err(unread)?;
        let last = read == 0;
        text.clear();
        let clean = decode(
            &mut decoder,
            part.get(..read).unwrap_or_default(),
            &mut text,
            last,
        );
        if !clean {
            // What means nothing is the last of what could be read, or a control among it.
            line += text
                .chars()
                .take_while(|letter| !means_nothing(*letter))
                .filter(|letter| *letter == '\n')
                .count() as u64;
            let name = encoding.name();
            return Err(
                TaskError::user(format!("line {line} of `{}` is not {name}", found.shown))
                    .hint("say how the file is written by `encoding`"),
            );
        }
        line += memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64;
        target.write_all(text.as_bytes()).map_err(full)?;
        if last {
            break;
        }
    }
    target.flush().map_err(full)?;
    let size = target.get_ref().metadata().map_err(full)?.len();
    Ok(Plain {
        file: Found {
            path: temporary.0.clone(),
            size,
            ..found.clone()
        },
        _made: Some(temporary),
    })
}

/// Whether all bytes stood for characters; `text` has those before the first that did not.
fn decode(decoder: &mut Decoder, bytes: &[u8], text: &mut String, last: bool) -> bool {
    let (result, _) = decoder.decode_to_string_without_replacement(bytes, text, last);
    matches!(result, encoding_rs::DecoderResult::InputEmpty) && !text.contains(means_nothing)
}

/// 0x81 and its like mean nothing in Windows-1252; the standard of the web maps them to controls.
fn means_nothing(character: char) -> bool {
    ('\u{80}'..='\u{9f}').contains(&character)
}

fn stop_when_told(context: &TaskContext) -> Result<(), TaskError> {
    if context.cancel.is_cancelled() {
        return Err(TaskError::external("the attempt was stopped while it read"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use pipectl_engine::operator::{Fault, testing::TestProject};

    use super::*;
    use crate::support::{archive::testing::zipped, files::at_least_one};

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(content: &[u8]) -> Result<Vec<(String, String)>, TaskError> {
        read_up_to(content, None)
    }

    fn read_up_to(
        content: &[u8],
        limit: Option<SizeText>,
    ) -> Result<Vec<(String, String)>, TaskError> {
        let project = TestProject::new();
        project.write("a", content);
        let context = project.context();
        let found = at_least_one(&context, "a").unwrap().remove(0);
        let files = unpacked(&context, found, limit)?;
        let of = |plain: &Plain| {
            let text = std::fs::read_to_string(&plain.file.path).unwrap();
            (plain.file.shown.clone(), text)
        };
        let read = files.iter().map(of).collect();
        drop(files);
        let left = std::fs::read_dir(project.root().join(".pipectl/artifacts"));
        assert_eq!(left.map_or(0, Iterator::count), 0);
        Ok(read)
    }

    #[test]
    fn no_more_is_unpacked_than_may_be() {
        let limit = |bytes| Some(SizeText(bytes));
        let text = "x".repeat(3 << 20);
        let packed = gzip(text.as_bytes());
        assert_eq!(read(&packed).unwrap()[0].1.len(), text.len());
        let zip = zipped(&[("1", &text), ("2", &text)]);
        assert!(read_up_to(&zip, limit(6 << 20)).is_ok());
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for (packed, bytes, shown) in [
            (packed, 1000, "1000 bytes"),
            (zstd, 2 << 20, "2 MiB"),
            (zip, 5 << 20, "5 MiB"),
        ] {
            let error = read_up_to(&packed, limit(bytes)).unwrap_err();
            assert_eq!(
                (error.fault, error.message),
                (Fault::User, format!("more than {shown} are packed in `a`"))
            );
        }
        let found = |size| Found {
            size,
            ..at_least_one(&TestProject::new().context(), "/dev/../etc/passwd")
                .unwrap()
                .remove(0)
        };
        assert_eq!(Room::new(&found(1000), None).left, 1 << 30);
        assert_eq!(Room::new(&found(1 << 30), None).left, 200 << 30);
    }

    #[test]
    fn packed_files_are_known_by_their_content() {
        let same = |text: &str| vec![("a".to_owned(), text.to_owned())];
        assert_eq!(read(b"x").unwrap(), same("x"));
        assert_eq!(read(b"").unwrap(), same(""));
        assert_eq!(read(&gzip(b"x\ny")).unwrap(), same("x\ny"));
        let two = [gzip(b"x\n"), gzip(b"y\n")].concat();
        assert_eq!(read(&two).unwrap(), same("x\ny\n"));
        let packed = zstd::encode_all(&b"x"[..], 1).unwrap();
        assert_eq!(read(&packed).unwrap(), same("x"));
        let members = [("b.csv", "2"), ("a.csv", "1"), ("__MACOSX/a.csv", "no")];
        let named = |name: &str, text: &str| (format!("a:{name}"), text.to_owned());
        assert_eq!(
            read(&zipped(&members)).unwrap(),
            [named("a.csv", "1"), named("b.csv", "2")]
        );
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_said_so() {
        let packed = gzip(&b"some text that is long enough".repeat(1000));
        let cut = packed.get(..packed.len() / 2).unwrap();
        let mut broken = packed.clone();
        broken[20] ^= 0xff;
        let zst = zstd::encode_all(&b"some text"[..], 1).unwrap();
        let archive = zipped(&[("a", "x")]);
        for (content, message) in [
            (cut, "`a` ends too early: its gzip data is cut off"),
            (&broken, "the gzip data of `a` is damaged"),
            (
                &zst[..zst.len() - 3],
                "`a` ends too early: its zstd data is cut off",
            ),
            (
                &archive[..archive.len() - 30],
                "the zip data of `a` is damaged",
            ),
            (&zipped(&[(".a", "x")]), "there is no file in `a`"),
        ] {
            let error = read(content).unwrap_err();
            assert_eq!(
                (error.fault, error.message.as_str()),
                (Fault::User, message)
            );
        }
    }

    #[test]
    fn text_is_decoded() {
        let project = TestProject::new();
        let context = project.context();
        let decode = |content: &[u8], encoding| {
            project.write("a", content);
            let file = at_least_one(&context, "a").unwrap().remove(0);
            let plain = Plain { file, _made: None };
            decoded(&context, &plain, encoding)
                .map(|plain| std::fs::read_to_string(&plain.file.path).unwrap())
        };
        let utf16: Vec<u8> = "\u{feff}ä\n€🦀"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(decode(&utf16, UTF_16LE).unwrap(), "ä\n€🦀");
        assert_eq!(
            decode(b"M\xfcller \x80", encoding_rs::WINDOWS_1252).unwrap(),
            "Müller €"
        );
        let error = decode(b"a\nb\x81", encoding_rs::WINDOWS_1252).unwrap_err();
        assert_eq!(error.message, "line 2 of `a` is not windows-1252");
        let error = decode(&utf16[..utf16.len() - 1], UTF_16LE).unwrap_err();
        assert_eq!(error.message, "line 2 of `a` is not UTF-16LE");
    }
}
