use super::*;

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// Whether `request` is taken, with another behind it, in pieces of `size` bytes. What is taken is left as it is.
fn is_taken(request: &str, size: usize) -> bool {
    let sent = format!("{request}{NEXT}");
    let mut heads = Heads::default();
    let mut seen = Vec::new();
    for piece in sent.as_bytes().chunks(size) {
        let mut piece = piece.to_vec();
        heads.check(&mut piece);
        seen.extend(piece);
    }
    let is_taken = heads.place != Place::Refused;
    assert_eq!(is_taken, seen == sent.as_bytes(), "{request:?}");
    if is_taken {
        assert_eq!(
            (heads.place, heads.begun),
            (Place::Head, false),
            "{request:?} does not end where it ends"
        );
    }
    is_taken
}

#[test]
fn heads_are_refused_that_others_may_read_differently() {
    let long = format!("GET /{} HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(500), "b".repeat(500));
    let chunked = |size: String| {
        format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n01234\r\n0\r\n\r\n")
    };
    let padded = chunked(format!("{}5", "0".repeat(60)));
    let extended = chunked(format!("5;a={}", "b".repeat(100)));
    let out_of_sight = chunked(format!("{}5", "0".repeat(64)));
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        (padded.as_str(), true),
        (extended.as_str(), true),
        (out_of_sight.as_str(), false),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        (long.as_str(), true),
        ("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\na\nb\nc", true),
        ("POST / HTTP/1.1\r\nContent-Length:5 \r\nX: 1\r\n\r\n\r\n\r\n.", true),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\na\nb\nc\r\nA;x=1\r\n0123\n56789\r\n0\r\n\r\n",
            true,
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nContent-Lengthy: x\r\nTransfer-Encodings: y\r\n\r\n", true),
        ("GET / HTTP/1.1\nHost: a\n\n", false),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", false),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", false),
        ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nabcde", false),
        ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nabcde", false),
        ("POST / HTTP/1.1\r\nContent-Length: \r\n\r\n", false),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", false),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            false,
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", false),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\na\nb\nc\r\n0\r\n\r\n", false),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n0\r\n\r\n", false),
    ] {
        for size in [1, 2, 3, 7, 1_000] {
            assert_eq!(is_taken(request, size), expected, "{request:?} in pieces of {size}");
        }
    }
}
