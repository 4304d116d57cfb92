//! The document of the endpoints: complete, and true.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rig::Rig;
use crate::api::http::endpoints;

/// Calls a function with every value of a document, and the path to it.
fn walk(value: &Value, at: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(at, value);
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &format!("{at}/{key}"), visit)),
        Value::Array(list) => list.iter().for_each(|value| walk(value, at, visit)),
        _ => {}
    }
}

async fn document(rig: &Rig) -> Value {
    let answer = rig.ask("GET /v1/openapi.json").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// What a request looks like to the router.
fn request(method: &str, path: &str) -> String {
    let path = path.replace("{name}", "none").replace("{id}", "none").replace("{target}", "none");
    format!("{} {path}", method.to_uppercase())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_in_the_document_and_nothing_else() {
    let rig = Rig::leading().await;
    let document = document(&rig).await;
    let paths = document["paths"].as_object().expect("paths");
    let mut documented = BTreeSet::new();
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            documented.insert((method.clone(), path.clone()));
            let answer = rig.ask(&request(method, path)).await;
            assert!(!answer.body.contains("there is nothing at"), "{method} {path}: {answer:?}");
            assert!(!answer.body.contains("is not possible at"), "{method} {path}: {answer:?}");
        }
        for method in ["get", "post", "delete", "put", "patch"] {
            if methods.get(method).is_none() {
                let answer = rig.ask(&request(method, path)).await;
                assert!(answer.status >= 400, "{method} {path} is not documented: {answer:?}");
            }
        }
    }
    let table = endpoints().into_iter().map(|one| (one.method.to_owned(), one.path.to_owned()));
    assert_eq!(documented, table.collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_openapi() {
    let rig = Rig::leading().await;
    let document = document(&rig).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    walk(&document, "#", &mut |at, value| {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{at}: {target}"));
            assert!(document.pointer(pointer).is_some(), "{at}: {target} is not there");
        }
    });
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["responses"]["200"]["description"].is_string(), "{method} {path}");
            let parameters = operation["parameters"].as_array().expect("parameters");
            let names: BTreeSet<_> =
                parameters.iter().map(|one| (one["in"].as_str(), one["name"].as_str())).collect();
            assert_eq!(names.len(), parameters.len(), "{method} {path}: a parameter is there twice");
            let in_path = parameters.iter().filter(|one| one["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
            assert_eq!(operation["requestBody"].is_object(), method == "post", "{method} {path}");
        }
    }
    let required = document["components"]["schemas"]["JobStatus"]["required"].to_string();
    assert!(required.contains("\"groups\"") && !required.contains("\"down_since\""), "{required}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_word_of_a_query_string_is_understood() {
    let rig = Rig::leading().await;
    for endpoint in endpoints() {
        for param in endpoint.params {
            let value = match (param.0, param.1) {
                ("request_id", _) => "000000000000000000000000000000ff",
                ("wait" | "since", _) => "1ms",
                ("follow", _) => "false",
                (_, "integer") => "1",
                (_, "boolean") => "true",
                _ => "default",
            };
            let asked = format!("{}?{}={value}", request(endpoint.method, endpoint.path), param.0);
            let answer = rig.ask(&asked).await;
            assert!(!answer.body.contains("query string"), "{asked}: {answer:?}");
        }
        if endpoint.path.starts_with("/v1/") && endpoint.method == "get" && !endpoint.params.is_empty() {
            let answer = rig.ask(&format!("{}?nonsense=1", request("get", endpoint.path))).await;
            assert!(answer.body.contains("unknown field `nonsense`"), "{}: {answer:?}", endpoint.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_endpoint_of_the_table_answers_a_stranger() {
    let rig = Rig::leading().await;
    for endpoint in endpoints().into_iter().filter(|endpoint| endpoint.path != "/health") {
        let request = request(endpoint.method, endpoint.path);
        let answer = rig.send(&request, &["Host: localhost"], "").await;
        assert_eq!(answer.status, 403, "{request}: {answer:?}");
    }
}
