//! `GET /deliveries/{id}/attempts/{attempt}/body`.

use axum::Json;
use axum::extract::State;

use super::attempt::SentBodyView;
use super::read::no_delivery;
use crate::api::auth::Caller;
use crate::api::params::{NoParams, Segments};
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::domain::{AttemptId, DeliveryId, Scope};
use crate::sources::Sources;
use crate::storage::Storage;

/// Get the body that an attempt sent
///
/// Requires `deliveries:read` and `events:read`. The body is kept for as long as the hook's `retain_bodies_s` says;
/// the attempt's `request.body_kept_until` says whether, and until when.
#[utoipa::path(
    get, path = "/api/v3/deliveries/{id}/attempts/{attempt}/body", tag = "deliveries",
    params(
        ("id" = schemas::DeliveryId, Path, description = "The delivery's id"),
        ("attempt" = schemas::AttemptId, Path, description = "The attempt's id"),
    ),
    responses((status = 200, description = "The body, as it was sent", body = SentBodyView)),
)]
pub(super) async fn get_sent_body(
    State(storage): State<Storage>,
    State(sources): State<Sources>,
    caller: Caller,
    Segments(id, attempt): Segments<DeliveryId, AttemptId>,
    _: NoParams,
) -> Result<Json<SentBodyView>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    caller.may(Scope::EventsRead)?;
    let up_to = Some(AttemptId(attempt.0.saturating_add(1)));
    let found = storage.deliveries.with_attempts(tenant, id, up_to, 1).await?;
    let (_, attempts) = found.ok_or_else(|| no_delivery(id))?;
    let newest = attempts.into_iter().next().filter(|newest| newest.id == attempt);
    let newest = newest.ok_or_else(|| Problem::not_found("attempt", &attempt.to_string()))?;
    let body = storage.kept_bodies.kept_body(tenant, attempt, sources.now()).await?;
    newest.request.zip(body).map(|(request, body)| Json(SentBodyView::of(&body, &request))).ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "the body of this attempt is not kept, or not any more: see the hook's `retain_bodies_s`",
        )
    })
}
