//! The console: a page for tenants and operators, which uses v3 as any client does, and the sessions with which it signs in.

mod files;
mod first_view;
mod page;
mod session;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::get;
use http::{HeaderMap, Uri};

use self::first_view::FirstView;
use self::page::Page;
use super::SharedApiState;
use super::problem::{Kind, Problem, shorten};
use super::sessions::Sessions;
use crate::clients::Client;

/// What the console is served with.
pub struct Console {
    page: Arc<Page>,
}

impl Console {
    /// A console that pages of these origins may show in a frame.
    #[must_use]
    pub fn new(frame_ancestors: &[String]) -> Self {
        Self { page: Arc::new(Page::new(frame_ancestors)) }
    }

    pub(super) fn routes(self) -> Router<SharedApiState> {
        let Self { page } = self;
        let index = move |State(sessions): State<Arc<Sessions>>, request: Request| {
            let page = Arc::clone(&page);
            async move {
                let headers = request.headers();
                if !page::accepts_html(headers) {
                    return no_file(request.uri().path()).into_response();
                }
                let client = request.extensions().get::<Arc<Client>>().map(Arc::as_ref);
                let is_secure = session::is_secure(client, headers);
                page.response(headers, FirstView::of(headers, is_secure, &sessions))
            }
        };
        let to_index = || async { Redirect::permanent("/") };
        Router::new()
            .route("/", get(index))
            .route("/console", get(to_index))
            .route("/console/", get(to_index))
            .route("/console/session", session::routes())
            .route("/console/{*file}", get(file))
    }
}

async fn file(Path(path): Path<String>, headers: HeaderMap, uri: Uri) -> axum::response::Response {
    files::response(&path, &headers).unwrap_or_else(|| no_file(uri.path()).into_response())
}

/// As for every path without a route.
fn no_file(path: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no route GET {}", shorten(path)))
}
