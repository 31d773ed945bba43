//! Where the fields of records lie: one pass over a piece of a file, 64 bytes at a time.

use super::{Dialect, Flaw, blank};

/// Each byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
/// All bits of each byte but the highest.
const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
/// Brings the lowest bits of all bytes together in the highest byte.
const GATHER: u64 = 0x0102_0408_1020_4080;
/// How many bytes are looked at together.
const BLOCK: usize = 64;
const NOWHERE: u32 = u32::MAX;

/// Where the fields of all records of a piece begin and end.
#[derive(Debug, Default)]
pub(crate) struct Located {
    /// Where each field begins, and where the one after it does or would.
    bounds: Vec<u32>,
    /// How many bounds there are from one record to the next.
    stride: usize,
    rows: usize,
    /// What is wrong with the first record that is not as the others; those before it are there. Lines count from the
    /// piece's first.
    pub(crate) flaw: Option<Flaw>,
}

impl Located {
    /// Finds the fields of all records of `content`, each of which is to have `fields`. There are about so many records;
    /// when it is said how many `lines`, they are all records, and there are no quotes.
    pub(crate) fn find(
        content: &[u8],
        dialect: Dialect,
        fields: usize,
        records: usize,
        lines: Option<usize>,
    ) -> Self {
        lines
            .and_then(|lines| Self::regular(content, dialect.delimiter, fields, lines))
            .unwrap_or_else(|| Self::one_by_one(content, dialect, fields, records, lines.is_none()))
    }

    /// Lines of the same number of fields, as most pieces have; nothing when they are not.
    fn regular(content: &[u8], delimiter: u8, fields: usize, lines: usize) -> Option<Self> {
        let mut bounds = vec![0; fields * lines + 1];
        let mut room = bounds.iter_mut();
        // The first field begins with the piece.
        room.next()?;
        let wanted = [delimiter, b'\n'].map(|byte| ONES * u64::from(byte));
        let length = u32::try_from(content.len()).ok()?;
        let mut base = 0;
        let (blocks, last) = blocks(content);
        for block in blocks.iter().chain([&last]) {
            let mut ends = either(block, wanted) & within(length, base);
            while ends != 0 {
                *room.next()? = base + ends.trailing_zeros() + 1;
                ends &= ends - 1;
            }
            base += 64;
        }
        if content.last() != Some(&b'\n') {
            *room.next()? = length + 1;
        }
        if room.next().is_some() {
            return None;
        }
        let is_end = |bound: &u32| {
            let at = (*bound as usize).saturating_sub(1);
            content.get(at).is_none_or(|byte| *byte == b'\n')
        };
        // As many lines as records, and each ends where a record does: then there is no other end of a line.
        let regular = bounds.iter().skip(fields).step_by(fields).all(is_end);
        regular.then_some(Self {
            bounds,
            stride: fields,
            rows: lines,
            flaw: None,
        })
    }

    fn one_by_one(
        content: &[u8],
        dialect: Dialect,
        fields: usize,
        records: usize,
        quotes: bool,
    ) -> Self {
        let stride = fields + 1;
        let mut found = Self {
            bounds: Vec::with_capacity(stride * (records + 2)),
            stride,
            rows: 0,
            flaw: None,
        };
        let mut begin = 0;
        found.bounds.push(0);
        let open = scan(content, dialect, quotes, |at, newline| {
            found.bounds.push(at + 1);
            if newline {
                if found.bounds.len() - begin == stride {
                    found.rows += 1;
                } else if !found.passed(content, begin) {
                    return false;
                }
                begin = found.bounds.len();
                found.bounds.push(at + 1);
            }
            true
        });
        if let Some(open) = open {
            let before = content.get(..open).unwrap_or_default();
            let line = 1 + memchr::memchr_iter(b'\n', before).count() as u64;
            found.flaw.get_or_insert(Flaw::Unclosed { line });
        }
        found
    }

    /// Sees what is to be done with a line of another number of fields: whether it is one to pass over.
    fn passed(&mut self, content: &[u8], begin: usize) -> bool {
        let ends = self.bounds.get(begin..).unwrap_or_default();
        let (start, end) = (position(ends.first()), position(ends.last()));
        let fields = ends.len() - 1;
        let line = content.get(start..end - 1).unwrap_or_default();
        let passed = fields == 1 && blank(line);
        if !passed {
            let before = content.get(..start).unwrap_or_default();
            self.flaw = Some(Flaw::Ragged {
                line: 1 + memchr::memchr_iter(b'\n', before).count() as u64,
                expected: self.stride - 1,
                found: fields,
            });
        }
        self.bounds.truncate(begin);
        passed
    }

    /// How many records there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// From where to where a field is.
    #[inline]
    pub(crate) fn field(&self, row: usize, column: usize) -> (usize, usize) {
        let at = row * self.stride + column;
        match self.bounds.get(at..at + 2) {
            Some([start, next]) => (*start as usize, (*next as usize).saturating_sub(1)),
            _ => (0, 0),
        }
    }
}

fn position(bound: Option<&u32>) -> usize {
    bound.map_or(0, |bound| *bound as usize)
}

/// Gives `hit` each end of a field, and whether it is the end of a line, until it has enough; the last line ends with
/// the content. Says where a quote opens that is not closed.
#[inline]
pub(super) fn scan(
    content: &[u8],
    dialect: Dialect,
    quotes: bool,
    hit: impl FnMut(u32, bool) -> bool,
) -> Option<usize> {
    match dialect.quote.filter(|_| quotes) {
        Some(quote) => scanned::<true>(content, dialect.delimiter, quote, hit),
        None => scanned::<false>(content, dialect.delimiter, 0, hit),
    }
}

fn scanned<const QUOTES: bool>(
    content: &[u8],
    delimiter: u8,
    quote: u8,
    mut hit: impl FnMut(u32, bool) -> bool,
) -> Option<usize> {
    let wanted = [delimiter, b'\n', quote].map(|byte| ONES * u64::from(byte));
    let length = u32::try_from(content.len()).unwrap_or(NOWHERE);
    let mut state = State::default();
    let mut base = 0;
    let (blocks, last) = blocks(content);
    for block in blocks.iter().chain([&last]) {
        let [delimiters, newlines, quotes] = masks::<QUOTES>(block, wanted);
        let mut all = (delimiters | newlines | quotes) & within(length, base);
        while all != 0 {
            let bit = all & all.wrapping_neg();
            let at = base + all.trailing_zeros();
            all ^= bit;
            if QUOTES && quotes & bit != 0 {
                state.quote(at);
            } else if (!QUOTES || state.ends(at)) && !hit(at, newlines & bit != 0) {
                return None;
            }
        }
        base += 64;
    }
    if state.inside {
        return Some(state.start as usize);
    }
    if content.last().is_some_and(|byte| *byte != b'\n') {
        hit(length, true);
    }
    None
}

/// The blocks of a text, and what is left of it.
fn blocks(content: &[u8]) -> (&[[u8; BLOCK]], [u8; BLOCK]) {
    let (blocks, rest) = content.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    if let Some(room) = last.get_mut(..rest.len()) {
        room.copy_from_slice(rest);
    }
    (blocks, last)
}

/// The bits of a block at `base` that are within a text of this length.
#[inline]
fn within(length: u32, base: u32) -> u64 {
    match length - base {
        left @ 0..64 => (1 << left) - 1,
        _ => u64::MAX,
    }
}

/// Which bytes of a block are the wanted ones.
#[inline]
fn masks<const QUOTES: bool>(block: &[u8; BLOCK], wanted: [u64; 3]) -> [u64; 3] {
    let mut masks = [0; 3];
    for (index, word) in words(block) {
        for ((mask, wanted), of_use) in masks.iter_mut().zip(wanted).zip([true, true, QUOTES]) {
            if of_use {
                *mask |= gathered(!others(word, wanted)) << (8 * index);
            }
        }
    }
    masks
}

/// Which bytes of a block are one of the wanted ones.
#[inline]
fn either(block: &[u8; BLOCK], [one, other]: [u64; 2]) -> u64 {
    words(block).fold(0, |mask, (index, word)| {
        mask | gathered(!(others(word, one) & others(word, other))) << (8 * index)
    })
}

#[inline]
fn words(block: &[u8; BLOCK]) -> impl Iterator<Item = (usize, u64)> {
    let (words, _) = block.as_chunks::<8>();
    words.iter().copied().map(u64::from_le_bytes).enumerate()
}

/// The highest bit of each byte that is not the wanted one.
#[inline]
fn others(word: u64, wanted: u64) -> u64 {
    let differs = word ^ wanted;
    ((differs & LOW) + LOW) | differs
}

/// The highest bits of all bytes, one beside the other.
#[inline]
fn gathered(word: u64) -> u64 {
    ((word & !LOW) >> 7).wrapping_mul(GATHER) >> 56
}

/// Whether we are within quotes.
#[derive(Debug)]
struct State {
    /// Where the field begins.
    start: u32,
    inside: bool,
    /// Where a quote has just closed.
    closed: u32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            start: 0,
            inside: false,
            closed: NOWHERE,
        }
    }
}

impl State {
    #[inline]
    fn quote(&mut self, at: u32) {
        if self.inside {
            self.inside = false;
            self.closed = at;
        } else if at == self.start || self.closed.wrapping_add(1) == at {
            // Doubled, it is a quote within the field; elsewhere a character like any other.
            self.inside = true;
        }
    }

    /// Whether a field ends here.
    #[inline]
    fn ends(&mut self, at: u32) -> bool {
        if self.inside {
            return false;
        }
        self.start = at + 1;
        self.closed = NOWHERE;
        true
    }
}
