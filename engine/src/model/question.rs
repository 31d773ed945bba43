//! Whether two models answer the same question, so that their measures can be compared.

use serde_json::Value;

/// Why the measures of a model cannot be compared with those of `other`: they answer different questions. What a card does
/// not say is no difference; of more than two classes there may be new ones.
pub fn another_question(new: &Value, card: &Value, other: &str) -> Option<String> {
    for key in ["goal", "target"] {
        let of = |card: &Value| card[key].as_str().map(ToOwned::to_owned);
        let both = of(new).zip(of(card));
        let differs = |(ours, theirs): &(String, String)| ours != theirs && !theirs.is_empty();
        if let Some((ours, theirs)) = both.filter(differs) {
            return Some(format!(
                "its {key} is `{ours}`, that of {other} is `{theirs}`"
            ));
        }
    }
    let classes = |card: &Value| {
        let names = card.pointer("/classes/values")?.as_array()?.iter();
        let names = names.map(|name| {
            name.as_str()
                .map_or_else(|| name.to_string(), str::to_owned)
        });
        Some(names.collect::<Vec<String>>()).filter(|names| !names.is_empty())
    };
    let (new, old) = classes(new).zip(classes(card))?;
    if new == old || (new.len() > 2 && old.len() > 2) {
        return None;
    }
    let listed = |names: &[String]| format!("`{}`", names.join("`, `"));
    if let ([.., ours], [.., theirs]) = (new.as_slice(), old.as_slice())
        && new.iter().all(|name| old.contains(name))
        && old.iter().all(|name| new.contains(name))
    {
        return Some(format!(
            "its positive class is `{ours}`, that of {other} is `{theirs}`"
        ));
    }
    Some(format!(
        "its classes are {}, those of {other} are {}",
        listed(&new),
        listed(&old)
    ))
}
