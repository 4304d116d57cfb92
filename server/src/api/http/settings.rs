//! Settings of the cluster over HTTP.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use proto::view::{SettingList, SettingView, Written};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Failure;
use super::query::{Body, request_id};
use crate::api::Context;
use crate::ops::{self, Caller};

/// What to change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettingsBody {
    /// The new values by name; what is not named stays as it is.
    settings: BTreeMap<String, NewValue>,
    /// Names the write.
    #[serde(default)]
    request_id: Option<String>,
}

/// A value: a text as `operator settings set` takes it (`4s`, `default`), or a number, or whether.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum NewValue {
    Text(String),
    Number(u64),
    Switch(bool),
}

impl From<NewValue> for String {
    fn from(value: NewValue) -> Self {
        match value {
            NewValue::Text(text) => text,
            NewValue::Number(number) => number.to_string(),
            NewValue::Switch(on) => on.to_string(),
        }
    }
}

pub(super) async fn list(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<SettingList>, Failure> {
    Ok(Json(ops::list_settings(&context.cluster, &caller)?))
}

pub(super) async fn show(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<SettingView>, Failure> {
    Ok(Json(ops::setting(&context.cluster, &caller, &name)?))
}

pub(super) async fn set(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<SettingsBody>,
) -> Result<Json<Written>, Failure> {
    let id = request_id(body.request_id.as_deref())?;
    let pairs: Vec<_> = body.settings.into_iter().map(|(name, value)| (name, value.into())).collect();
    Ok(Json(ops::set_settings(&context.cluster, &caller, id, &pairs).await?))
}
