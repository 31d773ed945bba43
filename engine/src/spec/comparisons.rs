//! What an expression compares with a text or a number that stands there: minijinja finds a number never equal to a text,
//! and never greater, without a word.

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Literal<'a> {
    /// `'243'`: what stands between the quotes, as it is written.
    Text(&'a str),
    /// `243`
    Number,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// `tasks.scores.rows`
    Path(&'a str),
    Literal(Literal<'a>),
    Comparison,
    /// Where a comparison may begin or end: a parenthesis, `and`, `or`, `not`, `if`, `else`.
    Edge,
    Other,
}

/// The dotted paths that an expression compares with a literal as they are, in their order.
pub(crate) fn comparisons(source: &str) -> Vec<(&str, Literal<'_>)> {
    let mut tokens = vec![Token::Edge];
    tokens.extend(tokens_of(source));
    tokens.push(Token::Edge);
    let mut found = Vec::new();
    for window in tokens.windows(5) {
        if let [Token::Edge, left, Token::Comparison, right, Token::Edge] = window {
            match (*left, *right) {
                (Token::Path(path), Token::Literal(literal))
                | (Token::Literal(literal), Token::Path(path)) => found.push((path, literal)),
                _ => {}
            }
        }
    }
    found
}

fn tokens_of(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\'' | '"' => {
                let length = text(rest, first);
                let inside = rest.get(1..length.max(2) - 1).unwrap_or_default();
                (Token::Literal(Literal::Text(inside)), length)
            }
            '0'..='9' => {
                let part = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '_');
                (Token::Literal(Literal::Number), taken(rest, part))
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let part = |letter: char| letter.is_ascii_alphanumeric() || "_.".contains(letter);
                let length = taken(rest, part);
                (word(rest.get(..length).unwrap_or_default()), length)
            }
            '=' | '!' | '<' | '>' => (
                Token::Comparison,
                taken(rest, |letter| "=!<>".contains(letter)),
            ),
            '(' | ')' => (Token::Edge, 1),
            other => (Token::Other, other.len_utf8()),
        };
        tokens.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    tokens
}

fn word(word: &str) -> Token<'_> {
    match word {
        "and" | "or" | "not" | "if" | "else" => Token::Edge,
        "true" | "false" | "none" | "in" | "is" => Token::Other,
        path => Token::Path(path),
    }
}

/// How many bytes of letters that belong together stand in front.
fn taken(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !belongs(letter)).unwrap_or(text.len())
}

/// How many bytes a text in quotes has.
fn text(source: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, letter) in source.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            letter if letter == quote => return place + 1,
            _ => {}
        }
    }
    source.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_compared_as_it_is_counts() {
        use Literal::{Number, Text};
        for (source, expected) in [
            ("tasks.raw.rows > 'x'", vec![("tasks.raw.rows", Text("x"))]),
            (
                "'243' == tasks.raw.rows",
                vec![("tasks.raw.rows", Text("243"))],
            ),
            ("a.b != ''", vec![("a.b", Text(""))]),
            ("params.day >= 7", vec![("params.day", Number)]),
            (
                "(a.b.c != \"it's\") and not params.x < 1_000.5",
                vec![("a.b.c", Text("it's")), ("params.x", Number)],
            ),
            ("params.day | int > 2", vec![]),
            ("params.day == '2' ~ tasks.a.rows", vec![]),
            ("tasks.a.rows + 1 == '2'", vec![]),
            ("'a' ~ params.x == 'ab'", vec![]),
            ("params.list[0] == 'a'", vec![]),
            ("tasks.a.rows == tasks.b.rows", vec![]),
            ("params.x in ['a']", vec![]),
            ("params.x == -1", vec![]),
            ("f(x) == 'a'", vec![]),
            ("'unclosed", vec![]),
            ("ü == 'ä'", vec![]),
        ] {
            assert_eq!(comparisons(source), expected, "{source}");
        }
    }
}
