//! The names that an expression calls: filters, tests, functions. minijinja notices unknown ones only when they run.

/// How a name is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// `value | name`.
    Filter,
    /// `value is name`.
    Test,
    /// `name(…)`.
    Function,
    /// `value.name(…)`.
    Method,
}

/// The names that an expression calls, in order.
pub(crate) fn calls(source: &str) -> Vec<(Use, &str)> {
    let mut calls = Vec::new();
    let bytes = source.as_bytes();
    let mut index = 0;
    let mut before = Before::Nothing;
    while let Some(&byte) = bytes.get(index) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => index += 1,
            b'\'' | b'"' => {
                index = after_string(bytes, index);
                before = Before::Nothing;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let start = index;
                index += word(&bytes[index..]);
                let name = source.get(start..index).unwrap_or_default();
                let called = source
                    .get(index..)
                    .unwrap_or_default()
                    .trim_start()
                    .starts_with('(');
                let words = ["in", "and", "or", "not", "if", "else", "is"];
                match before {
                    Before::Pipe => calls.push((Use::Filter, name)),
                    Before::Is if name == "not" => {}
                    Before::Is => calls.push((Use::Test, name)),
                    Before::Dot if called => calls.push((Use::Method, name)),
                    Before::Nothing if called && !words.contains(&name) => {
                        calls.push((Use::Function, name));
                    }
                    Before::Dot | Before::Nothing => {}
                }
                before = match (name, before) {
                    ("is", _) | ("not", Before::Is) => Before::Is,
                    _ => Before::Nothing,
                };
            }
            b'|' => {
                before = Before::Pipe;
                index += 1;
            }
            b'.' => {
                before = Before::Dot;
                index += 1;
            }
            _ => {
                before = Before::Nothing;
                index += 1;
            }
        }
    }
    calls
}

/// What stands before a name.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    Pipe,
    Dot,
    Is,
}

/// The same expression with `a.b` for `a['b']`: names are seen however they are spelled.
pub(crate) fn dotted(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut text = String::with_capacity(source.len());
    let (mut index, mut behind_value) = (0, false);
    while let Some(&byte) = bytes.get(index) {
        let start = index;
        match byte {
            b'\'' | b'"' => {
                index = after_string(bytes, index).min(bytes.len());
                behind_value = false;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                index += word(&bytes[index..]);
                let words = ["in", "and", "or", "not", "if", "else", "is"];
                behind_value = !words.contains(&source.get(start..index).unwrap_or_default());
            }
            b'[' if behind_value && let Some((name, after)) = subscript(source, index) => {
                text.push('.');
                text.push_str(name);
                index = after;
                continue;
            }
            _ => {
                index += 1;
                while !source.is_char_boundary(index) {
                    index += 1;
                }
                behind_value = matches!(byte, b']' | b')');
            }
        }
        text.push_str(source.get(start..index).unwrap_or_default());
    }
    text
}

/// The name in `['name']`, and where that ends.
fn subscript(source: &str, start: usize) -> Option<(&str, usize)> {
    let inside = source.get(start + 1..)?;
    let blank = inside.len() - inside.trim_start().len();
    let inside = inside.trim_start();
    let quote = inside
        .chars()
        .next()
        .filter(|quote| "'\"".contains(*quote))?;
    let rest = inside.get(1..)?;
    let length = word(rest.as_bytes());
    let starts = rest.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let behind = rest.get(length..)?.strip_prefix(quote)?;
    let after = behind.trim_start().strip_prefix(']')?;
    let name = rest.get(..length).filter(|_| starts)?;
    let skipped = behind.len() - after.len();
    Some((name, start + 1 + blank + 1 + length + 1 + skipped))
}

/// How many bytes of letters, digits and `_` stand in front.
fn word(bytes: &[u8]) -> usize {
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    bytes.iter().take_while(|byte| belongs(byte)).count()
}

fn after_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut index = start + 1;
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        match byte {
            b'\\' => index += 1,
            _ if byte == quote => break,
            _ => {}
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn called_names_are_found() {
        for (source, expected) in [
            ("params.x", vec![]),
            ("params.x | upper", vec![(Use::Filter, "upper")]),
            (
                "x|default('a | b')|int",
                vec![(Use::Filter, "default"), (Use::Filter, "int")],
            ),
            (
                "x is defined and y is not none",
                vec![(Use::Test, "defined"), (Use::Test, "none")],
            ),
            ("range(3)", vec![(Use::Function, "range")]),
            ("a.upper()", vec![(Use::Method, "upper")]),
            ("not (a or b)", vec![]),
            ("a if (b) else (c)", vec![]),
        ] {
            assert_eq!(calls(source), expected, "{source}");
        }
    }
    #[test]
    fn names_in_subscripts_are_names() {
        for (source, expected) in [
            ("params['nope']", "params.nope"),
            ("tasks.c[ \"rowz\" ] > 0", "tasks.c.rowz > 0"),
            ("f(x)['a']['b'][0]['c']", "f(x).a.b[0].c"),
            (
                "x in ['a', 'b'] or y in['a']",
                "x in ['a', 'b'] or y in['a']",
            ),
            (
                "'params[\\'a\\']' ~ item['my name']",
                "'params[\\'a\\']' ~ item['my name']",
            ),
            ("['a'] + [x['ü']]", "['a'] + [x['ü']]"),
            ("ü['a'] ~ params['1a']", "ü['a'] ~ params['1a']"),
            ("'never ended['a']", "'never ended['a']"),
            ("params['a", "params['a"),
        ] {
            assert_eq!(dotted(source), expected, "{source}");
        }
    }
}
