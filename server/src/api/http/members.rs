//! Members over HTTP.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use proto::view::{MemberList, Written};

use super::Failure;
use super::query::{Body, request_id};
use super::versions::PlainBody;
use crate::api::Context;
use crate::ops::{self, Caller};

pub(super) async fn list(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<MemberList>, Failure> {
    Ok(Json(ops::list_members(&context.cluster, &caller)?))
}

pub(super) async fn deny(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(body): Body<PlainBody>,
) -> Result<Json<Written>, Failure> {
    let id = request_id(body.request_id.as_deref())?;
    Ok(Json(ops::deny_member(&context.cluster, context.forming.as_ref(), &caller, id, &name).await?))
}

pub(super) async fn allow(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(body): Body<PlainBody>,
) -> Result<Json<Written>, Failure> {
    let id = request_id(body.request_id.as_deref())?;
    Ok(Json(ops::allow_member(&context.cluster, &caller, id, &name).await?))
}
