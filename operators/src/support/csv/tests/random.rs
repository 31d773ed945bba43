//! Random files against a slow, obvious model.

use polars::prelude::*;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Value {
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Day(i32),
    Text(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => format!("{value:?}"),
            Self::Boolean(value) => value.to_string(),
            Self::Day(days) => (chrono::NaiveDate::default()
                + chrono::TimeDelta::days(i64::from(*days)))
            .to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A column of a random table.
#[derive(Clone, Debug)]
struct Random {
    of: DataType,
    values: Vec<Option<Value>>,
}

impl Random {
    fn column(&self, name: &str, rows: usize) -> Column {
        let values: Vec<AnyValue<'_>> = self
            .values
            .iter()
            .take(rows)
            .map(|value| match value {
                None => AnyValue::Null,
                Some(Value::Integer(value)) => AnyValue::Int64(*value),
                Some(Value::Number(value)) => AnyValue::Float64(*value),
                Some(Value::Boolean(value)) => AnyValue::Boolean(*value),
                Some(Value::Day(days)) => AnyValue::Date(*days),
                Some(Value::Text(text)) => AnyValue::String(text),
            })
            .collect();
        Series::from_any_values_and_dtype(name.into(), &values, &self.of, true)
            .unwrap()
            .into_column()
    }
}

fn column() -> impl Strategy<Value = Random> {
    let of = |of: DataType, value: BoxedStrategy<Value>| {
        prop::collection::vec(prop::option::weighted(0.8, value), 40).prop_map(move |values| {
            Random {
                of: of.clone(),
                values,
            }
        })
    };
    let text = "[a-c,;|\t'\"\n ä🦀0-9]{0,12}|[a-z,]{60,70}";
    prop_oneof![
        of(
            DataType::Int64,
            any::<i64>().prop_map(Value::Integer).boxed()
        ),
        of(
            DataType::Int64,
            (-99..99_i64).prop_map(Value::Integer).boxed()
        ),
        of(
            DataType::Float64,
            prop::num::f64::NORMAL.prop_map(Value::Number).boxed()
        ),
        of(
            DataType::Boolean,
            any::<bool>().prop_map(Value::Boolean).boxed()
        ),
        of(
            DataType::Date,
            (-700_000..2_900_000).prop_map(Value::Day).boxed()
        ),
        of(DataType::String, text.prop_map(Value::Text).boxed()),
    ]
}

/// How a random table is written.
#[derive(Clone, Debug)]
struct Hand {
    dialect: Dialect,
    end: &'static str,
    mark: bool,
    last_end: bool,
    /// Which fields have quotes without need, and after which records there are empty lines.
    whims: Vec<bool>,
    size: usize,
}

fn hand() -> impl Strategy<Value = Hand> {
    (
        prop::sample::select(b",;|\t".to_vec()),
        prop::sample::select(vec![b'"', b'\'']),
        prop::sample::select(vec!["\n", "\r\n"]),
        any::<[bool; 2]>(),
        prop::collection::vec(prop::bool::weighted(0.2), 97),
        1..200_usize,
    )
        .prop_map(
            |(delimiter, quote, end, [mark, last_end], whims, size)| Hand {
                dialect: Dialect {
                    delimiter,
                    quote: Some(quote),
                },
                end,
                mark,
                last_end,
                whims,
                size,
            },
        )
}

fn file(columns: &[Random], rows: usize, hand: &Hand) -> String {
    let mut whims = hand.whims.iter().copied().cycle();
    let (quote, delimiter) = (hand.dialect.quote.unwrap(), hand.dialect.delimiter);
    let (quote, delimiter) = (char::from(quote), char::from(delimiter));
    let names: Vec<String> = (0..columns.len())
        .map(|number| format!("c{number}"))
        .collect();
    let mut records = vec![names.join(&delimiter.to_string())];
    for row in 0..rows {
        let fields = columns.iter().map(|column| {
            let Some(value) = &column.values[row] else {
                return String::new();
            };
            let text = value.text();
            let needed = text.is_empty() || text.contains([quote, delimiter, '\n']);
            if needed || whims.next() == Some(true) {
                let doubled = text.replace(quote, &format!("{quote}{quote}"));
                return format!("{quote}{doubled}{quote}");
            }
            text
        });
        records.push(fields.collect::<Vec<_>>().join(&delimiter.to_string()));
        // In a table of one column an empty line is a missing value.
        if columns.len() > 1 && whims.next() == Some(true) {
            records.push(String::new());
        }
    }
    let mut text = if hand.mark {
        "\u{feff}".to_owned()
    } else {
        String::new()
    };
    text += &records.join(hand.end);
    if hand.last_end || columns.len() == 1 {
        text += hand.end;
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn random_tables_come_back(
        columns in prop::collection::vec(column(), 1..6),
        rows in 0..40_usize,
        hand in hand(),
        kept in any::<[bool; 6]>(),
    ) {
        let text = file(&columns, rows, &hand);
        let file = Written::new(&text);
        let layout = file.layout(hand.dialect, true, hand.size).unwrap();
        prop_assert_eq!(layout.records, rows as u64, "{}", text);
        let name = |number: usize| format!("c{number}");
        let expected: Vec<Column> = columns
            .iter()
            .enumerate()
            .map(|(number, column)| column.column(&name(number), rows))
            .collect();
        let expected = DataFrame::new(rows, expected).unwrap();
        let reader = file.reader(&layout, hand.dialect, expected.schema().as_ref().clone());
        let frame = reader.frame().unwrap();
        prop_assert!(frame.equals_missing(&expected), "{}\n{}\n{}", text, frame, expected);
        let wanted = (0..columns.len()).filter(|number| kept[*number]).map(name);
        let wanted: Vec<Expr> = wanted.map(|name| col(name.as_str())).collect();
        let plan = reader.plan().unwrap().select(wanted.clone());
        let some = plan.collect_with_engine(Engine::Streaming).unwrap().unwrap_single();
        let expected = expected.lazy().select(wanted).collect().unwrap();
        prop_assert!(some.equals_missing(&expected), "{}\n{}\n{}", text, some, expected);
    }

    #[test]
    fn any_bytes_are_read_as_one_by_one(
        content in prop::collection::vec(
            prop_oneof![
                8 => prop::sample::select(b"\",\n\r a1".to_vec()),
                1 => any::<u8>(),
            ],
            0..60,
        ),
        clean in any::<bool>(),
        header in any::<bool>(),
        size in 1..100_usize,
    ) {
        // Most random bytes are no text.
        let content: Vec<u8> = content.into_iter().filter(|byte| !clean || byte.is_ascii()).collect();
        let file = Written::new(&content);
        let Ok(layout) = file.layout(COMMA, header, size) else {
            return Ok(());
        };
        let mut records = file.records(COMMA);
        if layout.fields == 0 {
            prop_assert!(records.is_empty());
            return Ok(());
        }
        prop_assert_eq!(records[0].len(), layout.fields);
        if header {
            records.remove(0);
        }
        prop_assert_eq!(records.len() as u64, layout.records);
        let width = layout.fields;
        let sound = |record: &Vec<Cell<'_>>| record.len() == width && record.iter().all(|cell| cell.sound);
        let good = records.iter().all(sound);
        let reader = file.reader(&layout, COMMA, texts(width));
        match reader.frame() {
            Err(_) => prop_assert!(!good && reader.first_failure().is_some()),
            Ok(frame) => {
                prop_assert!(good && reader.first_failure().is_none());
                prop_assert_eq!(frame.height(), records.len());
                for (number, column) in frame.columns().iter().enumerate() {
                    let values = column.str().unwrap();
                    for (value, record) in values.iter().zip(&records) {
                        let cell = &record[number];
                        let there = cell.quoted || !cell.text.is_empty();
                        prop_assert_eq!(value, there.then_some(&*cell.text));
                    }
                }
            }
        }
        // Other types do no harm.
        for of in [DataType::Int64, DataType::Float64, DataType::Boolean, DataType::Date, DataType::Time] {
            let types = texts(width).iter_names().map(|name| Field::new(name.clone(), of.clone())).collect();
            let _frame = file.reader(&layout, COMMA, types).frame();
        }
    }
}
