//! The records and the ways to page through them.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

/// No page is longer, whatever is asked for.
const LARGEST: usize = 1_000;
/// How long a page is when nobody says.
const USUAL: usize = 10;

/// A page and how to come to the next one.
pub(super) struct Page {
    pub(super) body: Value,
    pub(super) link: Option<String>,
}

/// Record `number` of a day.
pub(super) fn record(day: &str, number: u32) -> Value {
    let (hour, minute) = (number / 60 % 24, number % 60);
    json!({
        "id": format!("{day}-{number:04}"),
        "time": format!("{day}T{hour:02}:{minute:02}:00Z"),
        "site": format!("site_{}", number % 7),
        "pm2_5": {"value": f64::from(number) / 4.0, "calibrated": number.is_multiple_of(3)},
        "tags": ["a", format!("b{number}")],
        "note": if number.is_multiple_of(5) { Value::Null } else { json!(format!("note {number}")) },
    })
}

fn day(text: Option<&String>) -> Option<NaiveDate> {
    text?.get(..10)?.parse().ok()
}

/// All days asked for: from `start` to `end`, which is left out; one day when nobody says.
fn days(query: &BTreeMap<String, String>) -> Option<Vec<NaiveDate>> {
    let start = match query.get("start") {
        None => NaiveDate::from_ymd_opt(2026, 1, 1)?,
        text => day(text)?,
    };
    let end = match query.get("end") {
        None => start + Days::new(1),
        text => day(text)?,
    };
    Some(start.iter_days().take_while(|day| *day < end).collect())
}

/// A page of `way`, or nothing when the question makes no sense. `here` is the address without its query.
pub(super) fn page(
    way: &str,
    here: &str,
    query: &BTreeMap<String, String>,
    per_day: u32,
) -> Option<Page> {
    let days = days(query)?;
    let per_day = per_day as usize;
    let total = days.len() * per_day;
    let number = |name: &str, usual: usize| {
        query
            .get(name)
            .map_or(Some(usual), |text| text.parse().ok())
    };
    let size = number(if way == "page" { "per_page" } else { "limit" }, USUAL)?.clamp(1, LARGEST);
    let offset = match way {
        "page" => (number("page", 1)?.checked_sub(1)?) * size,
        "offset" => number("offset", 0)?,
        _ => match query.get("cursor").filter(|cursor| !cursor.is_empty()) {
            None => 0,
            Some(cursor) => cursor.strip_prefix('c')?.parse().ok()?,
        },
    };
    let end = (offset + size).min(total);
    let records: Vec<Value> = (offset.min(end)..end)
        .map(|index| {
            record(
                &days[index / per_day].to_string(),
                u32::try_from(index % per_day).unwrap_or(0),
            )
        })
        .collect();
    let next = (end < total).then(|| format!("c{end}"));
    let address = next.as_ref().map(|next| {
        let mut query = query.clone();
        query.insert("cursor".to_owned(), next.clone());
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace('+', "%2B")))
            .collect();
        format!("{here}?{}", query.join("&"))
    });
    let body = match way {
        "page" => {
            json!({"page": offset / size + 1, "pages": total.div_ceil(size), "total": total, "data": records})
        }
        "offset" => json!({"total": total, "data": {"items": records}}),
        "cursor" => json!({"data": records, "meta": {"next": next}}),
        "next" => json!({"data": records, "links": {"next": address}}),
        "link" => {
            return Some(Page {
                body: Value::Array(records),
                link: address,
            });
        }
        _ => return None,
    };
    Some(Page { body, link: None })
}
