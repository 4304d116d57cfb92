//! The JSON Schema of a job file, made of the same tables that the reader has its keys from.

use serde_json::{Map, Value, json};

use super::keys::{Key, Level, Shape};
use crate::limits;

/// Returns the schema.
pub(super) fn schema() -> Value {
    let mut definitions = Map::new();
    for level in Level::ALL.into_iter().filter(|level| *level != Level::Job) {
        definitions.insert(title(level), table(&[level], &[]));
    }
    definitions.insert("short".into(), table(&[Level::Job, Level::Group, Level::Task], &["tasks", "groups"]));
    definitions.insert("tasks".into(), table(&[Level::Job, Level::Group], &["groups"]));
    definitions.insert("full".into(), table(&[Level::Job], &[]));
    definitions.insert("one".into(), one());
    let jobs = json!({
        "type": "object",
        "properties": {"jobs": {
            "description": "Several jobs: all are checked before any is submitted",
            "type": "array", "minItems": 1, "maxItems": limits::JOBS_PER_FILE, "items": {"$ref": "#/$defs/one"},
        }},
        "additionalProperties": false,
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "minijob job file",
        "type": "object",
        "if": {"required": ["jobs"]},
        "then": jobs,
        "else": {"$ref": "#/$defs/one"},
        "$defs": definitions,
    })
}

/// One job, in the form that its keys say.
fn one() -> Value {
    json!({
        "if": {"required": ["groups"]},
        "then": {"$ref": "#/$defs/full", "required": ["name"]},
        "else": {
            "if": {"required": ["tasks"]},
            "then": {"$ref": "#/$defs/tasks", "required": ["name"]},
            "else": {"$ref": "#/$defs/short", "required": ["name", "command"]},
        },
    })
}

/// The last word of how a level is called.
fn title(level: Level) -> String {
    let word = level.owner().rsplit(' ').next().unwrap_or_default();
    word.trim_matches('`').to_owned()
}

/// A mapping that holds the keys of some levels.
fn table(levels: &[Level], without: &[&str]) -> Value {
    let keys = levels.iter().flat_map(|level| level.keys()).filter(|key| !without.contains(&key.name));
    let mut properties = Map::new();
    for key in keys {
        properties.entry(key.name).or_insert_with(|| property(key));
    }
    json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false})
}

fn property(key: &Key) -> Value {
    let mut value = match (key.later, key.shape) {
        // Nothing is lost by leaving out what is not acted on: these say that it is left out.
        (Some(_), Shape::Later) => refused(key.default),
        (None, Shape::Later) => json!({}),
        (_, shape) => or_null(shaped(shape)),
    };
    let says = match key.later {
        Some(why) => format!("Not supported yet: {why}"),
        None => key.says.to_owned(),
    };
    if let Value::Object(value) = &mut value {
        value.insert("description".into(), says.into());
    }
    value
}

fn refused(default: &str) -> Value {
    let mut allowed = vec![json!(null), json!([]), json!({})];
    if !default.is_empty() {
        allowed.push(json!(default));
    }
    // The scalar that YAML reads the word as.
    if let Ok(scalar @ (Value::Bool(_) | Value::Number(_))) = serde_json::from_str(default) {
        allowed.push(scalar);
    }
    json!({ "enum": allowed })
}

/// What is left empty says the same as leaving it out. A reference is to a mapping, which may be empty already.
fn or_null(mut value: Value) -> Value {
    if let Some(choices) = value.get_mut("anyOf").and_then(Value::as_array_mut) {
        choices.push(json!({"type": "null"}));
    } else if let Some(kind) = value.get_mut("type") {
        let mut kinds = kind.as_array().cloned().unwrap_or_else(|| vec![kind.clone()]);
        kinds.push(json!("null"));
        *kind = kinds.into();
    }
    value
}

fn shaped(shape: Shape) -> Value {
    match shape {
        Shape::Name => filled(json!({
            "type": ["string", "integer"], "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": limits::NAME_CHARS,
        })),
        Shape::Text => json!({"type": ["string", "number", "boolean"]}),
        Shape::Whole(least, most) => filled(json!({"type": "integer", "minimum": least, "maximum": most})),
        Shape::Duration => pattern("^[0-9.]+(ms|s|m|h|d)$", "5s"),
        Shape::Size => pattern("^[0-9.]+([kKMGT]i?)?B$", "256MiB"),
        Shape::Cpu => filled(json!({
            "anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[0-9.]+m?$"}], "examples": ["500m"],
        })),
        Shape::Percent => pattern("^[0-9]{1,3}%$", "10%"),
        Shape::Bool => filled(json!({"type": "boolean"})),
        Shape::Words(words) => filled(json!({ "enum": words })),
        Shape::Mode => filled(json!({
            "anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^(0o)?[0-7]{3,4}$"}], "examples": ["0644"],
        })),
        Shape::List(of) => json!({"type": "array", "items": shaped(*of)}),
        Shape::Map(of) => json!({"type": "object", "additionalProperties": or_null(shaped(*of))}),
        Shape::Table(level) => json!({"$ref": format!("#/$defs/{}", title(level))}),
        Shape::Either(one, other) => json!({"anyOf": [shaped(*one), shaped(*other)]}),
        Shape::Later => json!({}),
    }
}

fn pattern(pattern: &str, example: &str) -> Value {
    filled(json!({"type": "string", "pattern": pattern, "examples": [example]}))
}

/// A variable can stand for any scalar.
fn filled(value: Value) -> Value {
    json!({"anyOf": [value, {"type": "string", "pattern": "\\$\\{var\\."}]})
}
