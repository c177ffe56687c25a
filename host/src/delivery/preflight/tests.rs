use super::*;
use crate::domain::BodyFailure;
use crate::domain::attempt::BodyFailureKind;

fn response(status: u16, body: &[u8]) -> Response {
    let headers = vec![("content-type".into(), "text/plain".into())];
    Response { status, headers, body: body.to_vec(), body_truncated: false, body_failure: None }
}

#[test]
fn plugins_get_a_complete_response_with_the_status_200() {
    let shown = shown(&response(200, b"token \xff"));
    let expected = r#"{"status":200,"headers":[["content-type","text/plain"]],"body":"token �"}"#;
    assert_eq!(shown.as_deref(), Ok(expected));
}

#[test]
fn every_other_response_ends_the_attempt_and_says_why() {
    let failure = BodyFailure { kind: BodyFailureKind::Timeout, message: "too slow".to_owned() };
    let cases = [
        (response(201, b""), "the response has the status 201; expected 200"),
        (response(500, b""), "the response has the status 500; expected 200"),
        (Response { body_failure: Some(failure), ..response(200, b"to") }, "too slow"),
        (
            Response { body_truncated: true, ..response(200, b"to") },
            &format!("the response has more than {} bytes", Response::MAX_RECORDED_BODY),
        ),
    ];
    for (response, expected) in cases {
        assert_eq!(shown(&response), Err(expected.to_owned()));
    }
}
