//! The parts of the document that do not depend on operations.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::api::problem::ProblemBody;

/// The name of the security scheme.
pub(super) const SCHEME: &str = "key";

/// The document without routes.
pub(in crate::api::v3) fn base_document() -> OpenApi {
    let description = "Hookwright accepts events, shapes them with the WebAssembly plugins of tenants, and delivers them \
        as signed webhooks.\n\nA key belongs to one tenant. Requests with the operator's key name the tenant in the header \
        `Hookwright-Tenant`. Unknown members and parameters are errors; a member that is `null` counts as absent. \
        Times are RFC 3339, in responses in UTC with milliseconds. Lists are paginated: send `next` of one page as \
        `cursor` to get the next. Error responses are problem details (RFC 9457): 400 if the request is invalid, \
        409 if it conflicts with stored state. Resources of other tenants are reported as not found.";
    let key = SecurityScheme::Http(
        Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A key of a tenant, or the operator's key."))
            .build(),
    );
    let components = ComponentsBuilder::new()
        .schema(ProblemBody::name(), ProblemBody::schema())
        .security_scheme(SCHEME, key)
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Hookwright v3")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(description))
                .build(),
        )
        .security(Some([SecurityRequirement::new(SCHEME, [] as [&str; 0])]))
        .components(Some(components))
        .build()
}
