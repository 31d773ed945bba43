//! XML in a workbook: elements with their attributes, and texts.

use std::io::{self, BufRead, BufReader, Read};

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// What comes next in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// An element begins.
    Start(Element),
    /// An element ends.
    End(String),
    /// Text.
    Text(String),
    /// The document ends.
    Done,
}

/// An element's name and attributes, without their namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Its name.
    pub(super) name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// An attribute's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// How long a text or an element with its attributes may be.
pub(super) const LONGEST: usize = 4 << 20;

/// A document that is read from its beginning to its end.
pub(super) struct Document<R: BufRead> {
    reader: Reader<Bounded<R>>,
    buffer: Vec<u8>,
    /// The end of an element that had no content.
    ended: Option<String>,
}

impl<R: Read> Document<BufReader<R>> {
    /// Begins to read.
    pub(super) fn new(content: R) -> Self {
        Self {
            reader: Reader::from_reader(Bounded {
                content: BufReader::with_capacity(1 << 18, content),
                left: LONGEST,
            }),
            buffer: Vec::new(),
            ended: None,
        }
    }
}

/// Content of which only so much is read at once: what is read into memory has to end.
struct Bounded<R> {
    content: R,
    left: usize,
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut content = self.fill_buf()?;
        let read = content.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            let message = format!("a text in it is longer than {} MiB", LONGEST >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.content.fill_buf()
    }

    fn consume(&mut self, read: usize) {
        self.left = self.left.saturating_sub(read);
        self.content.consume(read);
    }
}

/// A failure to read, without the library's own words about its cause.
fn unread(error: quick_xml::Error) -> io::Error {
    match error {
        quick_xml::Error::Io(error) => {
            io::Error::new(io::ErrorKind::InvalidData, error.to_string())
        }
        other => wrong(other),
    }
}

fn wrong(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn local(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.rsplit(':').next().unwrap_or(&name).to_owned()
}

fn element(start: &BytesStart<'_>) -> io::Result<Element> {
    let mut attributes = Vec::new();
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(wrong)?;
        let value = attribute
            .decode_and_unescape_value(start.decoder())
            .map_err(wrong)?;
        attributes.push((local(attribute.key.as_ref()), value.into_owned()));
    }
    Ok(Element {
        name: local(start.name().as_ref()),
        attributes,
    })
}

impl<R: BufRead> Document<R> {
    /// What comes next.
    ///
    /// # Errors
    /// When it is no XML.
    pub(super) fn next(&mut self) -> io::Result<Node> {
        if let Some(name) = self.ended.take() {
            return Ok(Node::End(name));
        }
        loop {
            self.buffer.clear();
            self.reader.get_mut().left = LONGEST;
            return Ok(
                match self
                    .reader
                    .read_event_into(&mut self.buffer)
                    .map_err(unread)?
                {
                    Event::Start(start) => Node::Start(element(&start)?),
                    Event::Empty(start) => {
                        let element = element(&start)?;
                        self.ended = Some(element.name.clone());
                        Node::Start(element)
                    }
                    Event::End(end) => Node::End(local(end.name().as_ref())),
                    Event::Text(text) => Node::Text(text.decode().map_err(wrong)?.into_owned()),
                    Event::CData(text) => Node::Text(text.decode().map_err(wrong)?.into_owned()),
                    Event::GeneralRef(entity) => {
                        Node::Text(match entity.resolve_char_ref().map_err(wrong)? {
                            Some(character) => character.to_string(),
                            None => match &*entity.decode().map_err(wrong)? {
                                "lt" => "<".to_owned(),
                                "gt" => ">".to_owned(),
                                "amp" => "&".to_owned(),
                                "apos" => "'".to_owned(),
                                "quot" => "\"".to_owned(),
                                other => {
                                    return Err(io::Error::new(
                                        io::ErrorKind::InvalidData,
                                        format!("`&{other};` means nothing"),
                                    ));
                                }
                            },
                        })
                    }
                    Event::Eof => Node::Done,
                    _ => continue,
                },
            );
        }
    }
}
