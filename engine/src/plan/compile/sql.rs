//! Expressions in SQL become placeholders; inside quotes, comments or names they are mistakes.

use crate::spec::interpolation::Piece;

/// An expression in a statement.
pub(super) struct Placement<'a> {
    /// The expression.
    pub(super) inside: &'a str,
    state: State,
    name: bool,
}

/// Where in a statement one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Code,
    Quotes,
    Name,
    Line,
    Block(u32),
}

impl Placement<'_> {
    /// What is wrong with its place, and what to do.
    pub(super) fn wrong(&self) -> Option<(&'static str, &'static str)> {
        match self.state {
            State::Quotes => Some((
                "an expression inside SQL quotes is text, not a value",
                "leave the quotes out: the value is bound, not pasted",
            )),
            State::Name => Some((
                "an expression cannot be a name in SQL",
                "write the name out; only values are bound",
            )),
            State::Line | State::Block(_) => Some((
                "an expression inside an SQL comment does nothing",
                "take it out of the comment",
            )),
            State::Code if self.name => Some((
                "an expression cannot be a name in SQL",
                "write the name out; only values are bound",
            )),
            State::Code => None,
        }
    }
}

/// The statement with `$1`, `$2`, … where expressions stand; `each` is told of every one.
pub(super) fn placeholders<'a>(
    pieces: &[Piece<'a>],
    mut each: impl FnMut(Placement<'a>),
) -> String {
    let mut statement = String::new();
    let mut state = State::Code;
    let mut number = 0;
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => {
                state = after(state, text);
                statement.push_str(text);
            }
            Piece::Expression(inside) => {
                let next = match pieces.get(index + 1) {
                    Some(Piece::Text(text)) => text,
                    _ => "",
                };
                let alone = statement.trim().is_empty() && next.trim().is_empty();
                let name = alone || wants_name(&statement, next);
                each(Placement {
                    inside,
                    state,
                    name,
                });
                number += 1;
                statement.push('$');
                statement.push_str(&number.to_string());
            }
        }
    }
    statement
}

/// Whether what stands before or behind makes the expression a name.
fn wants_name(before: &str, behind: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '`');
    if before.ends_with(letter)
        || behind.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'))
    {
        return true;
    }
    let word = before
        .trim_end()
        .rsplit(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_lowercase();
    matches!(
        word.as_str(),
        "from" | "join" | "into" | "update" | "table" | "as"
    )
}

/// The state behind a text.
fn after(mut state: State, text: &str) -> State {
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied();
        state = match (state, letter, next) {
            (State::Code, '\'', _) => State::Quotes,
            (State::Code, '"' | '`', _) => State::Name,
            (State::Code, '-', Some('-')) => State::Line,
            (State::Code, '/', Some('*')) => {
                letters.next();
                State::Block(1)
            }
            (State::Quotes, '\'', Some('\'')) | (State::Name, '"', Some('"')) => {
                letters.next();
                state
            }
            (State::Quotes, '\'', _) | (State::Name, '"' | '`', _) | (State::Line, '\n', _) => {
                State::Code
            }
            (State::Block(depth), '/', Some('*')) => {
                letters.next();
                State::Block(depth + 1)
            }
            (State::Block(depth), '*', Some('/')) => {
                letters.next();
                if depth == 1 {
                    State::Code
                } else {
                    State::Block(depth - 1)
                }
            }
            (state, _, _) => state,
        };
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::interpolation::split;

    #[test]
    fn values_are_bound_and_nothing_else() {
        for (sql, statement, wrong) in [
            (
                "select * from t where a = ${{ x }}",
                "select * from t where a = $1",
                vec![],
            ),
            ("a > ${{ x }} and b < ${{ y }}", "a > $1 and b < $2", vec![]),
            (
                "where a in (${{ x }}, ${{ y }})",
                "where a in ($1, $2)",
                vec![],
            ),
            (
                "where a = 'it''s' and b = ${{ x }}",
                "where a = 'it''s' and b = $1",
                vec![],
            ),
            ("where a = '${{ x }}'", "where a = '$1'", vec!["quotes"]),
            (
                "where a like '%${{ x }}%'",
                "where a like '%$1%'",
                vec!["quotes"],
            ),
            (
                "select \"${{ x }}\" from t",
                "select \"$1\" from t",
                vec!["name"],
            ),
            ("select * from ${{ x }}", "select * from $1", vec!["name"]),
            (
                "select * from t_${{ x }}",
                "select * from t_$1",
                vec!["name"],
            ),
            (
                "select t.${{ x }} from t",
                "select t.$1 from t",
                vec!["name"],
            ),
            (
                "select 1 -- ${{ x }}\n",
                "select 1 -- $1\n",
                vec!["comment"],
            ),
            (
                "select /* ${{ x }} */ ${{ y }}",
                "select /* $1 */ $2",
                vec!["comment"],
            ),
            ("${{ x }}", "$1", vec!["name"]),
        ] {
            let mut found = Vec::new();
            let pieces = split(sql).unwrap();
            assert_eq!(
                placeholders(&pieces, |place| found.extend(place.wrong())),
                statement,
                "{sql}"
            );
            assert_eq!(found.len(), wrong.len(), "{sql}: {found:?}");
            for ((message, _), part) in found.iter().zip(wrong) {
                assert!(message.contains(part), "{sql}: {message}");
            }
        }
    }
}
