//! Checksums of the pages of Parquet files: whoever reads the pages does not compare them.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::Path,
};

use flate2::Crc;
use pipectl_engine::operator::TaskError;
use polars_parquet_format::{
    ColumnChunk, ColumnMetaData, FileMetaData, PageHeader, thrift::protocol::TCompactInputProtocol,
};

use super::files::io_error;

/// What a file begins and ends with.
const MAGIC: &[u8; 4] = b"PAR1";
/// How large the header of a page, or the end of a file, may become when it is read.
const MOST: usize = 256 << 20;

/// Compares the pages of a file with their checksums, where it has any; only of these columns, if some are named. What
/// is no Parquet is for the reader to tell.
///
/// # Errors
/// When a page is not what its checksum says, or the file cannot be read.
pub(crate) fn check(path: &Path, shown: &str, columns: &[String]) -> Result<(), TaskError> {
    let fail = |error| io_error("read", shown, error);
    let mut file = File::open(path).map_err(fail)?;
    let Some(end) = end(&mut file).map_err(fail)? else {
        return Ok(());
    };
    let mut file = BufReader::with_capacity(1 << 18, file);
    let chunks = end.row_groups.iter().flat_map(|group| &group.columns);
    for chunk in chunks.filter_map(of_this_file) {
        let name = chunk.path_in_schema.first().map_or("", String::as_str);
        if !columns.is_empty() && !columns.iter().any(|column| column == name) {
            continue;
        }
        match whole(&mut file, chunk).map_err(fail)? {
            Seen::Good => {}
            // A writer gives checksums to all pages or to none.
            Seen::Unsaid => return Ok(()),
            Seen::Damaged => {
                return Err(TaskError::user(format!(
                    "`{shown}` is damaged: a page of `{name}` is not what its checksum says"
                ))
                .hint("get the file anew from where it was made"));
            }
        }
    }
    Ok(())
}

fn of_this_file(chunk: &ColumnChunk) -> Option<&ColumnMetaData> {
    chunk
        .meta_data
        .as_ref()
        .filter(|_| chunk.file_path.is_none())
}

/// What stands at the end of a file, when that can be read.
fn end(file: &mut File) -> io::Result<Option<FileMetaData>> {
    let size = file.metadata()?.len();
    if size < 12 {
        return Ok(None);
    }
    let mut tail = [0; 8];
    file.seek(SeekFrom::Start(size - 8))?;
    file.read_exact(&mut tail)?;
    let [length @ .., _, _, _, _] = tail;
    let length = u64::from(u32::from_le_bytes(length));
    if !tail.ends_with(MAGIC) || length > size - 12 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(size - 8 - length))?;
    let mut content = Vec::new();
    file.take(length).read_to_end(&mut content)?;
    let mut protocol = TCompactInputProtocol::new(content.as_slice(), MOST);
    Ok(FileMetaData::read_from_in_protocol(&mut protocol).ok())
}

/// What the pages of a column say.
enum Seen {
    /// They are what their checksums say.
    Good,
    /// They have none.
    Unsaid,
    /// One of them is not.
    Damaged,
}

fn whole(file: &mut BufReader<File>, chunk: &ColumnMetaData) -> io::Result<Seen> {
    let first = chunk.dictionary_page_offset.filter(|place| *place > 0);
    let first = first.map_or(chunk.data_page_offset, |place| {
        place.min(chunk.data_page_offset)
    });
    let (Ok(first), Ok(length)) = (
        u64::try_from(first),
        u64::try_from(chunk.total_compressed_size),
    ) else {
        return Ok(Seen::Good);
    };
    file.seek(SeekFrom::Start(first))?;
    let mut said = false;
    while file.stream_position()? < first + length {
        let header = {
            let mut protocol = TCompactInputProtocol::new(&mut *file, MOST);
            PageHeader::read_from_in_protocol(&mut protocol)
        };
        let page = header.ok().and_then(|header| {
            let length = u64::try_from(header.compressed_page_size).ok()?;
            Some((length, header.crc))
        });
        match page {
            Some((length, Some(expected))) => {
                said = true;
                if checksum(file, length)? != expected.cast_unsigned() {
                    return Ok(Seen::Damaged);
                }
            }
            Some((_, None)) if !said => return Ok(Seen::Unsaid),
            Some((length, None)) => {
                file.seek_relative(i64::try_from(length).unwrap_or(i64::MAX))?;
            }
            None if !said => return Ok(Seen::Good),
            None => return Ok(Seen::Damaged),
        }
    }
    Ok(Seen::Good)
}

fn checksum(file: &mut BufReader<File>, length: u64) -> io::Result<u32> {
    let mut sum = Crc::new();
    let mut part = vec![0; 1 << 16];
    let mut page = file.take(length);
    loop {
        match page.read(&mut part)? {
            0 => return Ok(sum.sum()),
            read => sum.update(part.get(..read).unwrap_or_default()),
        }
    }
}
