//! The form of every answer: `status`, `message`, and `result` where there is one.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

use crate::api::problem::{Kind, Problem};
use crate::directory::DirectoryError;
use crate::storage::StorageError;

/// An answer to a request that was done. The answers are a client's own, so that no cache keeps them.
#[derive(Debug)]
pub(super) struct Success<T>(pub(super) T);

#[derive(Serialize)]
struct SuccessBody<T> {
    status: &'static str,
    message: &'static str,
    result: T,
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        let body = SuccessBody { status: "success", message: "success", result: self.0 };
        ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}

/// An answer that anybody may have: it says so little that it has no message.
#[derive(Debug)]
pub(super) struct Open<T>(pub(super) T);

#[derive(Serialize)]
struct OpenBody<T> {
    status: &'static str,
    result: T,
}

impl<T: Serialize> IntoResponse for Open<T> {
    fn into_response(self) -> Response {
        let body = OpenBody { status: "success", result: self.0 };
        ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}

/// A request that was not done, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

#[derive(Serialize)]
struct RefusalBody<'a> {
    status: String,
    message: &'a str,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // `status` is the status of the answer in words: "bad request", "forbidden", "not found".
        let status = self.status.canonical_reason().unwrap_or("error").to_ascii_lowercase();
        (self.status, Json(RefusalBody { status, message: &self.message })).into_response()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        match problem.kind() {
            // This surface knows no 401: whoever is not known may not.
            Kind::Unauthenticated => Self::forbidden(problem.detail()),
            Kind::MalformedJson => Self::bad_request(format!("the body is not a JSON object: {problem}")),
            kind => Self::new(kind.status(), problem.detail()),
        }
    }
}

impl From<DirectoryError> for Refusal {
    fn from(error: DirectoryError) -> Self {
        Problem::from(error).into()
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        Problem::from(error).into()
    }
}
