//! Operators that work element by element.

use crate::data::TextColumn;
use crate::error::{ModelError, Result};
use crate::estimators::sigmoid;
use crate::scorer::broadcast::{combine, common, expand};
use crate::scorer::cast::cast;
use crate::scorer::kernel::{Attributes, Kernel, Outputs, binary, input, optional, unary};
use crate::scorer::tensor::{Elements, Tensor};

/// The kernel of an element-wise operator, if it is one.
pub(crate) fn compile(operator: &str, attributes: &Attributes<'_>) -> Option<Kernel> {
    if let Some(function) = real_function(operator) {
        return Some(unary(move |tensor| map_real(tensor, function)));
    }
    if let Some((double, integer)) = arithmetic(operator) {
        return Some(binary(move |one, other| {
            calculate(one, other, double, integer)
        }));
    }
    if let Some((double, integer)) = comparison(operator) {
        return Some(binary(move |one, other| {
            compare(one, other, double, integer)
        }));
    }
    Some(match operator {
        "Equal" => binary(equal),
        "And" => binary(|one, other| logical(one, other, |a, b| a && b)),
        "Or" => binary(|one, other| logical(one, other, |a, b| a || b)),
        "Xor" => binary(|one, other| logical(one, other, |a, b| a != b)),
        "Not" => unary(|tensor| match &tensor.elements {
            Elements::Boolean(values) => Ok(Tensor::new(
                tensor.shape.clone(),
                Elements::Boolean(values.iter().map(|value| !value).collect()),
            )),
            _ => Err(ModelError::format("`Not` of something that is not boolean")),
        }),
        "IsNaN" => unary(|tensor| test_real(tensor, f64::is_nan)),
        "IsInf" => unary(|tensor| test_real(tensor, f64::is_infinite)),
        "Where" => Box::new(|inputs| {
            choose(input(inputs, 0)?, input(inputs, 1)?, input(inputs, 2)?).map(Outputs::One)
        }),
        "Clip" => Box::new(|inputs| {
            let limit = |place, default| -> Result<f64> {
                let Some(tensor) = optional(inputs, place) else {
                    return Ok(default);
                };
                Ok(tensor.to_doubles()?.first().copied().unwrap_or(default))
            };
            let (low, high) = (limit(1, f64::NEG_INFINITY)?, limit(2, f64::INFINITY)?);
            map_any(input(inputs, 0)?, move |value| value.max(low).min(high)).map(Outputs::One)
        }),
        "Max" => many(
            |a, b| {
                if a.is_nan() || b.is_nan() {
                    f64::NAN
                } else {
                    a.max(b)
                }
            },
            i64::max,
        ),
        "Min" => many(
            |a, b| {
                if a.is_nan() || b.is_nan() {
                    f64::NAN
                } else {
                    a.min(b)
                }
            },
            i64::min,
        ),
        "Cast" => {
            let to = i32::try_from(attributes.int("to", 0)).unwrap_or(0);
            unary(move |tensor| cast(tensor, to))
        }
        _ => return None,
    })
}

type Real = fn(f64) -> f64;

fn real_function(operator: &str) -> Option<Real> {
    Some(match operator {
        "Abs" => f64::abs,
        "Neg" => |value| -value,
        "Exp" => f64::exp,
        "Log" => f64::ln,
        "Sqrt" => f64::sqrt,
        "Floor" => f64::floor,
        "Ceil" => f64::ceil,
        "Round" => f64::round_ties_even,
        "Reciprocal" => f64::recip,
        "Sign" => |value| {
            if value == 0.0 || value.is_nan() {
                value
            } else {
                value.signum()
            }
        },
        "Sigmoid" => sigmoid,
        "Tanh" => f64::tanh,
        "Relu" => |value| {
            if value > 0.0 || value.is_nan() {
                value
            } else {
                0.0
            }
        },
        "Softplus" => |value| value.max(0.0) + (-value.abs()).exp().ln_1p(),
        _ => return None,
    })
}

type Binary = fn(f64, f64) -> f64;
type Whole = fn(i64, i64) -> i64;
type Ordered = (fn(f64, f64) -> bool, fn(i64, i64) -> bool);

fn arithmetic(operator: &str) -> Option<(Binary, Whole)> {
    Some(match operator {
        "Add" => (|a, b| a + b, i64::wrapping_add),
        "Sub" => (|a, b| a - b, i64::wrapping_sub),
        "Mul" => (|a, b| a * b, i64::wrapping_mul),
        "Div" => (|a, b| a / b, |a, b| a.checked_div(b).unwrap_or(0)),
        "Mod" => (|a, b| a % b, |a, b| a.checked_rem_euclid(b).unwrap_or(0)),
        "Pow" => (f64::powf, |a, b| {
            u32::try_from(b).map_or(0, |exponent| a.wrapping_pow(exponent))
        }),
        _ => return None,
    })
}

fn comparison(operator: &str) -> Option<Ordered> {
    Some(match operator {
        "Less" => (|a, b| a < b, |a, b| a < b),
        "LessOrEqual" => (|a, b| a <= b, |a, b| a <= b),
        "Greater" => (|a, b| a > b, |a, b| a > b),
        "GreaterOrEqual" => (|a, b| a >= b, |a, b| a >= b),
        _ => return None,
    })
}

fn text_is_wrong() -> ModelError {
    ModelError::format("text where numbers are wanted")
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the operator answers in its input's precision"
)]
fn map_real(tensor: &Tensor, function: Real) -> Result<Tensor> {
    let elements = match &tensor.elements {
        Elements::Float(values) => Elements::Float(
            values
                .iter()
                .map(|value| function(f64::from(*value)) as f32)
                .collect(),
        ),
        Elements::Double(values) => {
            Elements::Double(values.iter().map(|value| function(*value)).collect())
        }
        #[allow(
            clippy::cast_precision_loss,
            reason = "Abs, Neg and Sign of whole numbers"
        )]
        Elements::Integer(values) => Elements::Integer(
            values
                .iter()
                .map(|value| function(*value as f64) as i64)
                .collect(),
        ),
        _ => return Err(text_is_wrong()),
    };
    Ok(Tensor::new(tensor.shape.clone(), elements))
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the operator answers in its input's precision"
)]
fn map_any(tensor: &Tensor, function: impl Fn(f64) -> f64) -> Result<Tensor> {
    let values = tensor.to_doubles()?.into_iter().map(function);
    let elements = match &tensor.elements {
        Elements::Float(_) => Elements::Float(values.map(|value| value as f32).collect()),
        Elements::Integer(_) => Elements::Integer(values.map(|value| value as i64).collect()),
        _ => Elements::Double(values.collect()),
    };
    Ok(Tensor::new(tensor.shape.clone(), elements))
}

fn test_real(tensor: &Tensor, test: fn(f64) -> bool) -> Result<Tensor> {
    let values = match &tensor.elements {
        Elements::Float(values) => values.iter().map(|value| test(f64::from(*value))).collect(),
        Elements::Double(values) => values.iter().map(|value| test(*value)).collect(),
        _ => return Err(text_is_wrong()),
    };
    Ok(Tensor::new(tensor.shape.clone(), Elements::Boolean(values)))
}

/// Single precision is calculated in double precision and rounded: for one operation that is the same.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the operator answers in its inputs' precision"
)]
fn calculate(
    one: &Tensor,
    other: &Tensor,
    double: fn(f64, f64) -> f64,
    integer: Whole,
) -> Result<Tensor> {
    let shapes = (one.shape.as_slice(), other.shape.as_slice());
    match (&one.elements, &other.elements) {
        (Elements::Double(a), Elements::Double(b)) => {
            let (shape, values) = combine((a, shapes.0), (b, shapes.1), double)?;
            Ok(Tensor::new(shape, Elements::Double(values)))
        }
        (Elements::Float(a), Elements::Float(b)) => {
            let single = |a, b| double(f64::from(a), f64::from(b)) as f32;
            let (shape, values) = combine((a, shapes.0), (b, shapes.1), single)?;
            Ok(Tensor::new(shape, Elements::Float(values)))
        }
        (Elements::Integer(a), Elements::Integer(b)) => {
            let (shape, values) = combine((a, shapes.0), (b, shapes.1), integer)?;
            Ok(Tensor::new(shape, Elements::Integer(values)))
        }
        // `Pow` alone may mix its types.
        (Elements::Float(_), _) => {
            let (a, b) = (one.to_doubles()?, other.to_doubles()?);
            let single = |a, b| double(a, b) as f32;
            let (shape, values) = combine((&a, shapes.0), (&b, shapes.1), single)?;
            Ok(Tensor::new(shape, Elements::Float(values)))
        }
        _ => {
            let (a, b) = (one.to_doubles()?, other.to_doubles()?);
            let (shape, values) = combine((&a, shapes.0), (&b, shapes.1), double)?;
            Ok(Tensor::new(shape, Elements::Double(values)))
        }
    }
}

fn compare(
    one: &Tensor,
    other: &Tensor,
    double: fn(f64, f64) -> bool,
    integer: fn(i64, i64) -> bool,
) -> Result<Tensor> {
    let (shape, values) = match (&one.elements, &other.elements) {
        (Elements::Integer(a), Elements::Integer(b)) => {
            combine((a, &one.shape), (b, &other.shape), integer)?
        }
        (Elements::Double(a), Elements::Double(b)) => {
            combine((a, &one.shape), (b, &other.shape), double)?
        }
        _ => {
            let (a, b) = (one.to_doubles()?, other.to_doubles()?);
            combine((&a, &one.shape), (&b, &other.shape), double)?
        }
    };
    Ok(Tensor::new(shape, Elements::Boolean(values)))
}

#[allow(clippy::float_cmp, reason = "the operator is exact")]
fn equal(one: &Tensor, other: &Tensor) -> Result<Tensor> {
    let (shape, values) = match (&one.elements, &other.elements) {
        (Elements::Text(a), Elements::Text(b)) => {
            let same = |x: u32, y: u32| a.levels[x as usize] == b.levels[y as usize];
            combine((&a.codes, &one.shape), (&b.codes, &other.shape), same)?
        }
        (Elements::Integer(a), Elements::Integer(b)) => {
            combine((a, &one.shape), (b, &other.shape), |a, b| a == b)?
        }
        _ => {
            let (a, b) = (one.to_doubles()?, other.to_doubles()?);
            combine((&a, &one.shape), (&b, &other.shape), |a, b| a == b)?
        }
    };
    Ok(Tensor::new(shape, Elements::Boolean(values)))
}

fn logical(one: &Tensor, other: &Tensor, function: fn(bool, bool) -> bool) -> Result<Tensor> {
    let (Elements::Boolean(a), Elements::Boolean(b)) = (&one.elements, &other.elements) else {
        return Err(ModelError::format(
            "a logical operator on values that are not boolean",
        ));
    };
    let (shape, values) = combine((a, &one.shape), (b, &other.shape), function)?;
    Ok(Tensor::new(shape, Elements::Boolean(values)))
}

fn many(double: fn(f64, f64) -> f64, integer: Whole) -> Kernel {
    Box::new(move |inputs| {
        let mut answer = input(inputs, 0)?.clone();
        for other in inputs.iter().skip(1).flatten() {
            answer = calculate(&answer, other, double, integer)?;
        }
        Ok(Outputs::One(answer))
    })
}

fn choose(condition: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    let Elements::Boolean(flags) = &condition.elements else {
        return Err(ModelError::format(
            "`Where` asks something that is not boolean",
        ));
    };
    let shape = common(&condition.shape, &common(&yes.shape, &no.shape)?)?;
    let flags = expand(flags, &condition.shape, &shape)?;
    let elements = match (&yes.elements, &no.elements) {
        (Elements::Double(a), Elements::Double(b)) => {
            Elements::Double(pick(&flags, (a, &yes.shape), (b, &no.shape), &shape)?)
        }
        (Elements::Float(a), Elements::Float(b)) => {
            Elements::Float(pick(&flags, (a, &yes.shape), (b, &no.shape), &shape)?)
        }
        (Elements::Integer(a), Elements::Integer(b)) => {
            Elements::Integer(pick(&flags, (a, &yes.shape), (b, &no.shape), &shape)?)
        }
        (Elements::Boolean(a), Elements::Boolean(b)) => {
            Elements::Boolean(pick(&flags, (a, &yes.shape), (b, &no.shape), &shape)?)
        }
        (Elements::Text(a), Elements::Text(b)) => {
            let a = expand(&a.codes, &yes.shape, &shape)?
                .into_iter()
                .map(|code| a.levels[code as usize].as_ref())
                .zip(
                    expand(&b.codes, &no.shape, &shape)?
                        .into_iter()
                        .map(|code| b.levels[code as usize].as_ref()),
                );
            Elements::Text(TextColumn::new(
                a.zip(&flags)
                    .map(|((yes, no), flag)| Some(if *flag { yes } else { no })),
            ))
        }
        _ => return Err(ModelError::format("`Where` with two types")),
    };
    Ok(Tensor::new(shape, elements))
}

fn pick<T: Copy>(
    flags: &[bool],
    yes: (&[T], &[usize]),
    no: (&[T], &[usize]),
    shape: &[usize],
) -> Result<Vec<T>> {
    let yes = expand(yes.0, yes.1, shape)?;
    let no = expand(no.0, no.1, shape)?;
    let pairs = flags.iter().zip(yes.into_iter().zip(no));
    Ok(pairs
        .map(|(flag, (yes, no))| if *flag { yes } else { no })
        .collect())
}
