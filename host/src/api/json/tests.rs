use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the members are only deserialized")]
struct Outer<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    name: String,
    count: Option<u32>,
    number: Option<i64>,
    flag: Option<bool>,
    inner: Option<Object<Inner>>,
    #[serde(default)]
    list: Vec<Object<Inner>>,
    map: Option<Members<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the member is only deserialized")]
struct Inner {
    a: String,
}

/// Checks kind, pointer and a part of the detail of each text's problem.
fn check(cases: &[(&str, Kind, Option<&str>, &str)]) {
    for (text, kind, pointer, detail) in cases {
        let problem = parse::<Outer>(text.as_bytes()).expect_err(text);
        assert_eq!(problem.kind(), *kind, "{text}: {problem}");
        assert_eq!(problem.pointer().map(Pointer::as_str), *pointer, "{text}");
        assert!(problem.detail().contains(detail), "{text}: {problem}");
    }
}

#[test]
fn malformed_json_is_located_by_line_and_column() {
    use Kind::MalformedJson;
    check(&[
        ("", MalformedJson, None, "empty"),
        ("{", MalformedJson, None, "line 1 column 1"),
        ("{\n\"name\": \"x\",}", MalformedJson, None, "line 2 column 13"),
        ("{\"name\": \"x\"} x", MalformedJson, None, "trailing characters"),
        ("{'name': 1}", MalformedJson, None, "key must be a string"),
        ("{\"name\": \"\\ud800\"}", MalformedJson, None, "surrogate"),
        ("{\"name\": \"x\", \"data\": \"\\udc00\\ud800\"}", MalformedJson, None, "\\udc00"),
        ("{\"name\": \"x\", \"data\": {\"a\":}}", MalformedJson, None, "expected value"),
        ("{\"name\": \"a\u{1}\"}", MalformedJson, None, "control character"),
    ]);
}

#[test]
fn errors_name_the_problem_and_its_position() {
    use Kind::{DuplicateMember, InvalidValue, MissingMember, UnknownMember, WrongType};
    check(&[
        ("null", WrongType, Some(""), "expected an object, found null"),
        ("[\"x\"]", WrongType, Some(""), "expected an object, found an array"),
        ("\"x\"", WrongType, Some(""), "expected an object, found string"),
        ("{}", MissingMember, Some(""), "missing member `name`"),
        (
            "{\"name\": \"x\", \"nmae\": 1}",
            UnknownMember,
            Some("/nmae"),
            "unknown member `nmae`; expected one of `data`",
        ),
        ("{\"a/b~`, expected x\": 1}", UnknownMember, Some("/a~1b~0`, expected x"), "unknown member"),
        ("{\"\": 1}", UnknownMember, Some("/"), "unknown member ``"),
        ("{\"name\": \"x\", \"name\": \"y\"}", DuplicateMember, Some("/name"), "duplicate member `name`"),
        ("{\"name\": 7}", WrongType, Some("/name"), "expected a string, found integer `7`"),
        ("{\"name\": null}", WrongType, Some("/name"), "expected a string, found null"),
        ("{\"name\": \"x\", \"count\": -1}", InvalidValue, Some("/count"), "expected a non-negative integer"),
        ("{\"name\": \"x\", \"count\": 1e3}", WrongType, Some("/count"), "floating point"),
        ("{\"name\": \"x\", \"number\": 99999999999999999999}", WrongType, Some("/number"), "an integer"),
        ("{\"name\": \"x\", \"flag\": \"yes\"}", WrongType, Some("/flag"), "expected a boolean"),
        (
            "{\"name\": \"x\", \"inner\": [\"a\"]}",
            WrongType,
            Some("/inner"),
            "expected an object, found an array",
        ),
        ("{\"name\": \"x\", \"inner\": {}}", MissingMember, Some("/inner"), "missing member `a`"),
        (
            "{\"name\": \"x\", \"inner\": {\"a\": \"\", \"b\": 1}}",
            UnknownMember,
            Some("/inner/b"),
            "unknown member `b`; expected `a`",
        ),
        (
            "{\"name\": \"x\", \"list\": [{\"a\": \"\"}, {\"a\": 1}]}",
            WrongType,
            Some("/list/1/a"),
            "a string",
        ),
        ("{\"name\": \"x\", \"list\": {}}", WrongType, Some("/list"), "expected an array, found an object"),
        ("{\"name\": \"x\", \"map\": {\"X/Y\": 1}}", WrongType, Some("/map/X~1Y"), "a string"),
        (
            "{\"name\": \"x\", \"map\": {\"a\": \"\", \"a\": \"\"}}",
            DuplicateMember,
            Some("/map/a"),
            "duplicate member `a`",
        ),
        ("{\"name\": \"x\", \"map\": []}", WrongType, Some("/map"), "expected an object"),
    ]);
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    let problem = parse::<Outer>(b"{\"name\": \"\xff\"}").expect_err("no UTF-8");
    assert_eq!(problem.kind(), Kind::MalformedJson);
    assert!(problem.detail().contains("offset 10"), "{problem}");
}

#[test]
fn data_is_kept_unchanged() {
    let text = r#"{"name": "x", "data":  {"b": 1.0, "a": [ 1e400 ], "😀": "\ud83d\ude00 \\ud800 \u0000"}  }"#;
    let outer: Outer = parse(text.as_bytes()).unwrap();
    assert_eq!(
        outer.data.unwrap().get(),
        r#"{"b": 1.0, "a": [ 1e400 ], "😀": "\ud83d\ude00 \\ud800 \u0000"}"#
    );
}

#[test]
fn nesting_depth_is_limited() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!("{{\"name\": \"x\", \"data\": {open}{close}}}")
    };
    assert!(parse::<Outer>(nested(MAX_DEPTH).as_bytes()).is_ok());
    let problem = parse::<Outer>(nested(MAX_DEPTH + 1).as_bytes()).expect_err("too deep");
    assert!(problem.detail().contains("120 levels"), "{problem}");
    assert!(parse::<Outer>(nested(500_000).as_bytes()).is_err());
    let flat = format!(
        "{{\"name\": \"\\\"{}\", \"list\": [{}{{\"a\":\"\"}}]}}",
        "[".repeat(500),
        "{\"a\":\"\"},".repeat(500)
    );
    assert!(parse::<Outer>(flat.as_bytes()).is_ok());
}
