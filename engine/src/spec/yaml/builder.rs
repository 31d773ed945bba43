//! Builds the tree from the parser's events.

use std::{collections::HashMap, sync::Arc};

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use indexmap::IndexMap;

use super::{
    super::{Found, Mark, SourceFile, codes, scalar, source::count},
    Entry, Node, NodeValue,
    syntax::{TOO_DEEP, complain},
};

/// How many nodes a file may have, after its aliases are followed.
const MAX_NODES: usize = 500_000;
/// How deep a file may be nested.
pub(super) const MAX_DEPTH: usize = 64;

/// Reads the only document of a file. `None` when the file is empty or cannot be read; then there is a complaint.
pub fn parse(source: &SourceFile, found: &mut Found) -> Option<Node> {
    let mut builder = Builder {
        source,
        found,
        anchors: HashMap::new(),
        stack: Vec::new(),
        nodes: 0,
        root: None,
    };
    let options = {
        let mut options = granit_parser::Options::default();
        options.emit_unresolved_aliases = true;
        options
    };
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(&source.text, options) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                complain(&error, source, builder.found);
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(..)) {
            documents += 1;
            if documents > 1 {
                let mark = builder.mark(&span);
                found
                    .error(codes::SYNTAX, mark, "a second document begins here")
                    .hint("one file is one document");
                return None;
            }
        }
        if !builder.take(event, &span) {
            return None;
        }
    }
    let root = builder.root.take();
    if root
        .as_ref()
        .is_none_or(|root| matches!(root.value, NodeValue::Null))
    {
        found
            .error(codes::EMPTY, Mark::START, "the file is empty")
            .hint("`pipectl init` writes a project with a pipeline that runs; `pipectl docs pipelines` shows the shape of a file");
        return None;
    }
    root
}

struct Builder<'a> {
    source: &'a SourceFile,
    found: &'a mut Found,
    anchors: HashMap<usize, (Node, usize)>,
    stack: Vec<Open>,
    nodes: usize,
    root: Option<Node>,
}

/// A list or map that is being read.
struct Open {
    mark: Mark,
    anchor: usize,
    first_node: usize,
    items: Vec<Node>,
    entries: IndexMap<Arc<str>, Entry>,
    key: Option<Key>,
    map: bool,
    flow: bool,
}

/// A key whose value is still to come.
enum Key {
    /// One that cannot be used, and has its complaint.
    Unusable,
    /// Text.
    Text(Arc<str>, Mark),
}

impl Builder<'_> {
    /// Takes an event; false when reading must stop.
    fn take(&mut self, event: Event<'_>, span: &Span) -> bool {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mark = self.mark(span);
                let value = self.scalar(&text, style, tag.as_deref(), mark);
                self.done(Node { mark, value }, anchor, 1)
            }
            Event::SequenceStart(style, anchor, tag) => self.open(
                span,
                anchor,
                false,
                style == granit_parser::StructureStyle::Flow,
                tag.as_deref(),
            ),
            Event::MappingStart(style, anchor, tag) => self.open(
                span,
                anchor,
                true,
                style == granit_parser::StructureStyle::Flow,
                tag.as_deref(),
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => self.alias(id, span),
            Event::UnresolvedAlias(name) => {
                let mark = self.mark(span);
                self.found
                    .error(codes::SYNTAX, mark, format!("there is no anchor `&{name}`"))
                    .hint("put text that begins with `*` in quotes");
                false
            }
            _ => true,
        }
    }

    fn open(
        &mut self,
        span: &Span,
        anchor: usize,
        map: bool,
        flow: bool,
        tag: Option<&Tag>,
    ) -> bool {
        let mark = self.mark(span);
        self.refuse_tag(tag, mark);
        if self.stack.len() >= MAX_DEPTH {
            self.found
                .error(
                    codes::BOMB,
                    mark,
                    format!("the file is nested more than {MAX_DEPTH} deep"),
                )
                .hint(TOO_DEEP);
            return false;
        }
        let first_node = self.nodes;
        self.stack.push(Open {
            mark,
            anchor,
            first_node,
            items: Vec::new(),
            entries: IndexMap::new(),
            key: None,
            map,
            flow,
        });
        true
    }

    fn close(&mut self, span: &Span) -> bool {
        let Some(open) = self.stack.pop() else {
            return true;
        };
        let mut mark = open.mark;
        if open.flow {
            let end = self.mark(span);
            mark.end = end.end.max(mark.start);
            let text = self
                .source
                .slice(mark.start, mark.end)
                .lines()
                .next()
                .unwrap_or_default();
            mark.length = count(text).max(1);
        } else if let Some((_, first)) = open.entries.first() {
            mark = first.key_mark;
        }
        let size = self.nodes - open.first_node + 1;
        let value = if open.map {
            NodeValue::Map(open.entries.into_values().collect())
        } else {
            NodeValue::List(open.items)
        };
        self.done(Node { mark, value }, open.anchor, size)
    }

    fn alias(&mut self, id: usize, span: &Span) -> bool {
        let mark = self.mark(span);
        let Some((node, size)) = self.anchors.get(&id) else {
            self.found
                .error(codes::BOMB, mark, "an alias within its own anchor");
            return false;
        };
        let size = *size;
        if self.nodes + size > MAX_NODES {
            return self.too_many(mark);
        }
        let node = Node {
            mark,
            value: node.value.clone(),
        };
        self.nodes += size - 1;
        self.done(node, 0, size)
    }

    /// Puts a finished node where it belongs.
    fn done(&mut self, node: Node, anchor: usize, size: usize) -> bool {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.too_many(node.mark);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return true;
        };
        if !open.map {
            open.items.push(node);
            return true;
        }
        match open.key.take() {
            None => {
                let key = self.key(&node);
                if let Some(open) = self.stack.last_mut() {
                    open.key = Some(key);
                }
            }
            Some(Key::Unusable) => {}
            Some(Key::Text(key, key_mark)) => {
                if open.entries.contains_key(&key) {
                    let first = open.entries[&key].key_mark.line;
                    self.found
                        .error(
                            codes::DUPLICATE_KEY,
                            key_mark,
                            format!("the key `{key}` appears twice"),
                        )
                        .hint(format!("the first one is in line {first}"));
                } else {
                    open.entries.insert(
                        key.clone(),
                        Entry {
                            key,
                            key_mark,
                            value: node,
                        },
                    );
                }
            }
        }
        true
    }

    /// A key's text: keys are text, numbers and booleans are taken as written.
    fn key(&mut self, node: &Node) -> Key {
        let text: Arc<str> = match &node.value {
            NodeValue::Text(text) if &**text == "<<" => {
                self.found
                    .error(codes::SYNTAX, node.mark, "`<<` is no key of YAML 1.2")
                    .hint("write the keys out, or use `defaults:`");
                return Key::Unusable;
            }
            NodeValue::Text(text) => text.clone(),
            NodeValue::Bool(_) | NodeValue::Number(_) => self
                .source
                .slice(node.mark.start, node.mark.end)
                .trim_matches(['"', '\''])
                .into(),
            _ => {
                self.found
                    .error(
                        codes::SYNTAX,
                        node.mark,
                        format!("a key must be text, not {}", node.kind()),
                    )
                    .hint("`{{ … }}` and `${{ … }}` must be in quotes: \"${{ params.x }}\"");
                return Key::Unusable;
            }
        };
        Key::Text(text, node.mark)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        mark: Mark,
    ) -> NodeValue {
        let wants_text = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
        if !wants_text {
            self.refuse_tag(tag, mark);
        }
        if style != ScalarStyle::Plain || wants_text {
            return NodeValue::Text(text.into());
        }
        match scalar::resolve(text) {
            Ok(value) => value,
            Err(message) => {
                self.found
                    .error(codes::SYNTAX, mark, message)
                    .hint("put it in quotes if it is text");
                NodeValue::Text(text.into())
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, mark: Mark) {
        if let Some(tag) = tag.filter(|tag| tag.core_suffix().is_none()) {
            self.found
                .error(
                    codes::SYNTAX,
                    mark,
                    format!("the tag `{}` means nothing here", tag.original()),
                )
                .hint("put text that begins with `!` in quotes");
        }
    }

    fn too_many(&mut self, mark: Mark) -> bool {
        self.found
            .error(
                codes::BOMB,
                mark,
                format!("the file has more than {MAX_NODES} values, counting what aliases repeat"),
            )
            .hint("use fewer aliases");
        false
    }

    fn mark(&self, span: &Span) -> Mark {
        let byte = |marker: &granit_parser::Marker| {
            u32::try_from(marker.byte_offset().unwrap_or_default()).unwrap_or(u32::MAX)
        };
        let (start, mut end) = (byte(&span.start), byte(&span.end));
        let length = if span.start.line() == span.end.line() {
            span.end.index().saturating_sub(span.start.index())
        } else {
            let text = self.source.slice(start, end);
            end = start + u32::try_from(text.trim_end().len()).unwrap_or_default();
            text.lines()
                .next()
                .unwrap_or_default()
                .trim_end()
                .chars()
                .count()
        };
        Mark {
            line: u32::try_from(span.start.line()).unwrap_or(u32::MAX),
            column: u32::try_from(span.start.col() + 1).unwrap_or(u32::MAX),
            length: u32::try_from(length.max(1)).unwrap_or(u32::MAX),
            start,
            end,
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
