//! What the end of the process means, and what is believed of what it says.

use super::*;

const MEMORY: u64 = 1536 << 20;

fn words(failure: Failure) -> String {
    match failure {
        Failure::Upload(error) => error.to_string(),
        Failure::DiskFull => "disk full".to_owned(),
    }
}

#[test]
fn the_end_of_the_process_says_whose_fault_it_was() {
    let refused = r#"{"Refused":{"TooComplex":"said"}}"#;
    let full = r#"{"Failed":{"words":"said","disk_full":true}}"#;
    // As `wait` tells it: a signal, or an exit code in the second byte.
    for (status, said, expected) in [
        (24, "", "this plugin is too complex: to compile it takes more than 60 seconds of processor time"),
        (25, "", "this plugin is too complex: its compiled code has more than 256 MiB"),
        (6, "", "this plugin is too complex: to compile it takes more than 1,536 MiB of memory"),
        (11, "", "this plugin is too complex: to compile it takes more than 1,536 MiB of memory"),
        (
            101 << 8,
            "thread panicked",
            "this plugin cannot be compiled: the compiler fails on it; build it anew, with another version of its toolchain if need be",
        ),
        (0, refused, "this plugin is too complex: said"),
        (0, full, "disk full"),
        (9, "", "a plugin cannot be compiled"),
        (15, "", "a plugin cannot be compiled"),
        (0x300, "", "a plugin cannot be compiled"),
    ] {
        let failure = judge(ExitStatus::from_raw(status), said.as_bytes(), MEMORY).unwrap_err();
        assert_eq!(words(failure), expected, "{status} {said}");
    }
}

#[tokio::test]
async fn a_process_that_does_not_end_is_ended_and_its_upload_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("endless");
    std::fs::write(&program, "#!/bin/sh\nwhile :; do :; done\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let order = Order::new(&Limits::default(), true);
    let code = tempfile::tempfile().unwrap();
    let failure = run(&program, Duration::from_secs(1), &order, &Bytes::from_static(b"x"), code).await;
    let expected = "this plugin is too complex: to compile it takes more than 1 seconds";
    assert_eq!(words(failure.unwrap_err()), expected);
}

#[test]
fn what_the_process_says_is_taken_only_if_it_is_an_answer() {
    let taken =
        |imports: &str| format!("a warning\n{{\"Taken\":{{\"imports\":{imports},\"exports\":[]}}}}\n");
    let ended = ExitStatus::from_raw(0);
    let shape = judge(ended, taken(r#"["hookwright:plugin/log@1.0.0"]"#).as_bytes(), MEMORY).unwrap();
    assert_eq!(shape.imports, ["hookwright:plugin/log@1.0.0"]);
    for said in [
        String::new(),
        "{".to_owned(),
        taken("[1]"),
        taken(r#"["acme:thing/api@1.0.0"]"#),
        taken(&format!("[{}]", vec![r#""wasi:io/error@0.2.0""#; 1_000].join(","))),
    ] {
        assert!(judge(ended, said.as_bytes(), MEMORY).is_err(), "{said}");
    }
}
