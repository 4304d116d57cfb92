//! The endpoints as an OpenAPI 3.1 document, made from their table and from the documents' own types.

use std::sync::LazyLock;

use axum::Json;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::table::{Answer, Endpoint, Param, endpoints};

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

pub(super) async fn show() -> Json<Value> {
    Json(DOCUMENT.clone())
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    // Answers are what is written, bodies are what is read; they share no type.
    let mut written = settings.clone().for_serialize().into_generator();
    let mut read = settings.for_deserialize().into_generator();
    let error = written.subschema_for::<proto::error::Error>();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints() {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method] = operation(&endpoint, &mut read, &mut written, &json!(error));
    }
    let mut schemas = written.take_definitions(true);
    schemas.extend(read.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "minijob",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Within v1 fields are only added: ignore what you do not know.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(
    endpoint: &Endpoint,
    read: &mut SchemaGenerator,
    written: &mut SchemaGenerator,
    error: &Value,
) -> Value {
    let mut parameters: Vec<Value> = named(endpoint.path).map(in_path).collect();
    parameters.extend(endpoint.params.iter().map(in_query));
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": endpoint.summary, "content": content(&endpoint.answer, written) },
            "default": { "description": "a refusal", "content": { "application/json": { "schema": error } } },
        },
    });
    if let Some(body) = endpoint.body {
        let content = json!({ "application/json": { "schema": body(read) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if endpoint.path == "/health" {
        operation["security"] = json!([]);
    }
    operation
}

fn content(answer: &Answer, written: &mut SchemaGenerator) -> Value {
    match answer {
        Answer::Json(schema) => json!({ "application/json": { "schema": schema(written) } }),
        Answer::Events(schema) => json!({
            "application/json": { "schema": schema(written) },
            "application/x-ndjson": { "schema": { "type": "string" } },
        }),
        Answer::Text(kind) => json!({ *kind: { "schema": { "type": "string" } } }),
        Answer::Object => json!({ "application/json": { "schema": { "type": "object" } } }),
    }
}

/// The names in braces.
fn named(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn in_path(name: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
}

fn in_query(Param(name, kind, says): &Param) -> Value {
    json!({ "name": name, "in": "query", "description": says, "schema": { "type": kind } })
}

/// `getJobsNameHistory`.
fn operation_id(endpoint: &Endpoint) -> String {
    let words = endpoint.path.trim_start_matches("/v1").split(|c: char| !c.is_ascii_alphanumeric());
    let mut id = endpoint.method.to_owned();
    for word in words {
        let mut chars = word.chars();
        id.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(chars.as_str());
    }
    id
}
