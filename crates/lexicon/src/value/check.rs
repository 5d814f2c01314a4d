use std::ops::Bound;

use super::{MAX_DEPTH, MAX_INT, MAX_VALUES, Map, Value, ValueError, ValueProblem};

/// What every object of the data model keeps to, wherever it comes from: a `$type` is a text that is not empty; what says
/// it is a blob is one; and a field named as the JSON forms of links and bytes would not come back from JSON.
pub(super) fn check_map(map: &Map) -> Result<(), ValueProblem> {
    // Field names that start with $ are rare, and sort together.
    let reserved: (Bound<&str>, Bound<&str>) = (Bound::Included("$"), Bound::Excluded("%"));
    for (name, value) in map.range::<str, _>(reserved) {
        match (name.as_str(), value) {
            ("$type", Value::Text(name)) if name == "blob" => check_blob(map)?,
            ("$type", Value::Text(name)) if !name.is_empty() => {}
            ("$type", _) => {
                return Err(ValueProblem::Model(
                    "$type must be a text that is not empty",
                ));
            }
            ("$link" | "$bytes", _) => {
                return Err(ValueProblem::Model(
                    "the names $link and $bytes stand for links and bytes, alone in their object",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_blob(map: &Map) -> Result<(), ValueProblem> {
    let is_blob = matches!(map.get("ref"), Some(Value::Link(_)))
        && matches!(map.get("mimeType"), Some(Value::Text(_)))
        && matches!(map.get("size"), Some(Value::Int(0..)));
    if is_blob {
        Ok(())
    } else {
        Err(ValueProblem::Model(
            "a blob needs ref (a link), mimeType (a text) and size (an integer)",
        ))
    }
}

pub(super) fn check_int(int: i64) -> Result<i64, ValueProblem> {
    if (-MAX_INT..=MAX_INT).contains(&int) {
        Ok(int)
    } else {
        Err(ValueProblem::IntegerTooLarge)
    }
}

/// A float that is an integer is taken for it (a writer in JavaScript cannot tell them apart); any other is refused.
pub(super) fn integer_like(float: f64) -> Result<i64, ValueProblem> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it has no fraction and is within 53 bits"
    )]
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    if float.fract() == 0.0 && float.abs() <= MAX_INT as f64 {
        Ok(float as i64)
    } else if float.fract() == 0.0 {
        Err(ValueProblem::IntegerTooLarge)
    } else {
        Err(ValueProblem::Float(float.to_string()))
    }
}

impl Value {
    /// Whether a value that was put together in code keeps to the data model: depth, integers, `$type`, blobs.
    pub fn check(&self) -> Result<(), ValueError> {
        let mut budget = MAX_VALUES;
        walk(self, 0, &mut budget)
    }
}

pub(crate) fn check_document(map: &Map) -> Result<(), ValueError> {
    let mut budget = MAX_VALUES;
    walk_map(map, 0, &mut budget)
}

fn walk(value: &Value, depth: usize, budget: &mut usize) -> Result<(), ValueError> {
    *budget = budget.checked_sub(1).ok_or(ValueProblem::TooManyValues)?;
    match value {
        Value::Int(int) => check_int(*int).map(|_| ()).map_err(Into::into),
        Value::List(_) if depth >= MAX_DEPTH => Err(ValueProblem::TooDeep.into()),
        Value::List(list) => list.iter().enumerate().try_for_each(|(index, item)| {
            walk(item, depth + 1, budget).map_err(|error| error.in_item(index))
        }),
        Value::Map(map) => walk_map(map, depth, budget),
        _ => Ok(()),
    }
}

fn walk_map(map: &Map, depth: usize, budget: &mut usize) -> Result<(), ValueError> {
    if depth >= MAX_DEPTH {
        return Err(ValueProblem::TooDeep.into());
    }
    for (name, value) in map {
        walk(value, depth + 1, budget).map_err(|error| error.in_field(name))?;
    }
    check_map(map).map_err(Into::into)
}
