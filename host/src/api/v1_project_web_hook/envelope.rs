//! The envelope of all responses: `status`, `message` and, on success, `result`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

use crate::api::problem::{Kind, Later, Problem};
use crate::directory::DirectoryError;
use crate::storage::StorageError;

/// A successful response. Caches must not store it, because it belongs to one client.
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

/// A successful response without `message`, for the route that needs no authentication.
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

/// An error response.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
    later: Later,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    status: String,
    message: &'a str,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), later: Later::default() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn no_project(number: i64) -> Self {
        Self::not_found(format!("there is no project {number}"))
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // `status` is the reason phrase in lower case: "bad request", "forbidden", "not found".
        let status = self.status.canonical_reason().unwrap_or("error").to_ascii_lowercase();
        let response = (self.status, Json(ErrorBody { status, message: &self.message })).into_response();
        self.later.add_to(response)
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let refusal = match problem.kind() {
            // The original API has no 401.
            Kind::Unauthenticated => Self::forbidden(problem.detail()),
            Kind::MalformedJson => Self::bad_request(format!("the body is not a JSON object: {problem}")),
            kind => Self::new(kind.status(), problem.detail()),
        };
        Self { later: problem.when(), ..refusal }
    }
}

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        if let DirectoryError::NoProject(number) = error {
            return Self::no_project(number);
        }
        Problem::from(error).into()
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Problem::from(error).into()
    }
}
