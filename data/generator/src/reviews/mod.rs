//! Reviews of things that people have bought: what the sentiment model learns from, is judged by, and is shown with.
//!
//! A review is a few sentences from templates, filled with words; in most there is more than one thought, in some a
//! word that points the other way. Sentences come from templates that a model learns from, or from others that it
//! never sees ([`Source::HeldOut`]). Nobody wrote these texts: a model that is good at them knows this language, not
//! the world's.

mod templates;
mod words;

use std::fmt::Write as _;

use crate::random::Random;
use templates::{BLIND, HELD_OUT, KNOWN, Templates};

/// Which templates the sentences come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Those that a model learns from.
    Known,
    /// Those that it never sees.
    HeldOut,
    /// Those that were written when the model was final.
    Blind,
}

impl Source {
    fn templates(self) -> &'static Templates {
        match self {
            Self::Known => &KNOWN,
            Self::HeldOut => &HELD_OUT,
            Self::Blind => &BLIND,
        }
    }
}

/// One review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// What is reviewed.
    pub product: &'static str,
    /// What was written.
    pub text: String,
    /// Whether the writer is content.
    pub positive: bool,
    /// One to five, as the writer is content: sometimes three, whatever was written.
    pub stars: u8,
}

/// `count` reviews, half of them of people who are content.
pub fn reviews(seed: u64, source: Source, count: u64) -> Vec<Review> {
    let tag = match source {
        Source::Known => 0,
        Source::HeldOut => 1,
        Source::Blind => 3,
    };
    (0..count)
        .map(|row| review(&mut Random::stream(seed, &[tag, row]), source.templates()))
        .collect()
}

/// Reviews with their labels as CSV, for a model to learn from or be judged by.
pub fn labelled(seed: u64, source: Source, count: u64) -> String {
    let mut table = String::from("label,text\n");
    for review in reviews(seed, source, count) {
        let label = if review.positive {
            "positive"
        } else {
            "negative"
        };
        // Writing to a string cannot fail.
        let _written = writeln!(table, "{label},{}", quoted(&review.text));
    }
    table
}

/// Reviews as a shop would export them. Some customers write nothing; no template in it was learned from.
pub fn shop(seed: u64, count: u64) -> String {
    let mut table = String::from("review_id,product,stars,review\n");
    for (row, review) in (1_u64..).zip(reviews(seed, Source::HeldOut, count)) {
        let silent = Random::stream(seed, &[2, row]).per_mille(20);
        let text = if silent {
            String::new()
        } else {
            quoted(&review.text)
        };
        let _written = writeln!(
            table,
            "R{row:05},{},{},{text}",
            review.product, review.stars
        );
    }
    table
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn review(random: &mut Random, templates: &Templates) -> Review {
    let positive = random.per_mille(500);
    let product = pick(random, words::PRODUCTS);
    let mut sentences = Vec::new();
    for _ in 0..=random.index(4) {
        let own = if positive {
            templates.good
        } else {
            templates.bad
        };
        let template = pick_of(random, own, templates.both);
        sentences.push(filled(random, template, product, positive));
        if random.per_mille(350) {
            let plain = pick(random, templates.plain);
            let place = random.index(sentences.len() + 1);
            sentences.insert(place, filled(random, plain, product, positive));
        }
    }
    let stars = match (random.below(10), positive) {
        (0, _) => 3,
        (1..=3, true) => 4,
        (1..=3, false) => 2,
        (_, true) => 5,
        (_, false) => 1,
    };
    Review {
        product,
        text: as_typed(random, &sentences.join(" ")),
        positive,
        stars,
    }
}

/// The template with words in its places.
fn filled(random: &mut Random, template: &str, product: &str, positive: bool) -> String {
    let mut text = String::new();
    let (mood, other, feel) = if positive {
        (words::GOOD, words::BAD, words::LIKE)
    } else {
        (words::BAD, words::GOOD, words::DISLIKE)
    };
    for (place, part) in template.split(['{', '}']).enumerate() {
        // What stands between braces has an odd place.
        if place % 2 == 0 {
            text.push_str(part);
            continue;
        }
        let word = match part {
            "product" => product,
            "aspect" | "aspect2" => pick(random, words::ASPECTS),
            "good" | "good2" => pick(random, words::GOOD),
            "bad" | "bad2" => pick(random, words::BAD),
            "mood" | "mood2" => pick(random, mood),
            "other" => pick(random, other),
            "feel" => pick(random, feel),
            "very" => pick(random, words::VERY),
            "like" => pick(random, words::LIKE),
            "dislike" => pick(random, words::DISLIKE),
            "time" => pick(random, words::TIMES),
            "person" => pick(random, words::PEOPLE),
            "family" => pick(random, words::FAMILY),
            other => unreachable!("no words for `{other}`"),
        };
        if (text == "A " || text.ends_with(" a ")) && word.starts_with(['a', 'e', 'i', 'o', 'u']) {
            text.truncate(text.len() - 1);
            text.push_str("n ");
        }
        text.push_str(word);
    }
    capitalised(&text)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// As people type: without capitals, loud, without the last dot, with letters that changed places.
fn as_typed(random: &mut Random, text: &str) -> String {
    let mut text = match random.below(20) {
        0..=3 => text.to_lowercase(),
        4 => text.to_uppercase(),
        5 | 6 => text.replace('.', "!"),
        7 | 8 => text.trim_end_matches('.').to_owned(),
        _ => text.to_owned(),
    };
    if random.per_mille(100) {
        let letters: Vec<char> = text.chars().collect();
        let at = random.index(letters.len().saturating_sub(1));
        let mut letters = letters;
        if letters.len() > 1 && letters[at].is_alphabetic() && letters[at + 1].is_alphabetic() {
            letters.swap(at, at + 1);
        }
        text = letters.into_iter().collect();
    }
    text
}

/// One of two lists.
fn pick_of(
    random: &mut Random,
    one: &'static [&'static str],
    other: &'static [&'static str],
) -> &'static str {
    let place = random.index(one.len() + other.len());
    one.get(place).unwrap_or_else(|| &other[place - one.len()])
}

fn pick(random: &mut Random, words: &'static [&'static str]) -> &'static str {
    words[random.index(words.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_reviews_and_a_longer_list_begins_with_the_shorter() {
        let few = reviews(7, Source::Known, 20);
        let many = reviews(7, Source::Known, 50);
        assert_eq!(few, many[..20]);
        assert_ne!(few, reviews(8, Source::Known, 20));
        let positive = reviews(7, Source::Known, 2_000)
            .iter()
            .filter(|review| review.positive)
            .count();
        assert!((900..1_100).contains(&positive), "{positive}");
    }

    #[test]
    fn no_held_out_template_is_known_and_every_place_has_words() {
        let kinds = |templates: &'static Templates| {
            [
                templates.good,
                templates.bad,
                templates.both,
                templates.plain,
            ]
            .concat()
        };
        let known = kinds(&KNOWN);
        let unseen = [kinds(&HELD_OUT), kinds(&BLIND)].concat();
        for template in &unseen {
            assert!(!known.contains(template), "{template}");
        }
        for template in known.into_iter().chain(unseen) {
            let text = filled(&mut Random::new(1), template, "lamp", true);
            assert!(!text.contains(['{', '}']), "{text}");
        }
    }

    #[test]
    fn a_shop_s_table_has_a_row_a_review_and_some_without_a_word() {
        let table = shop(20_260, 400);
        let rows: Vec<&str> = table.lines().skip(1).collect();
        assert_eq!(rows.len(), 400);
        let silent = rows.iter().filter(|row| row.ends_with(',')).count();
        assert!((1..30).contains(&silent), "{silent}");
        assert!(rows[0].starts_with("R00001,"));
    }
}
