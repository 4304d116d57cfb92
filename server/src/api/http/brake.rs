//! The brake over HTTP.

use axum::extract::State;
use axum::{Extension, Json};
use proto::view::Written;

use super::Failure;
use super::query::{Body, request_id};
use super::versions::PlainBody;
use crate::api::Context;
use crate::ops::{self, Caller};

pub(super) async fn release(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<PlainBody>,
) -> Result<Json<Written>, Failure> {
    let id = request_id(body.request_id.as_deref())?;
    Ok(Json(ops::release_brake(&context.cluster, &caller, id).await?))
}
