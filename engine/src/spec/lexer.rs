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
                while bytes
                    .get(index)
                    .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                {
                    index += 1;
                }
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
}
