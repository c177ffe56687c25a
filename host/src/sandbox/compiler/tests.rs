//! How the exit and the response of the subprocess are interpreted.

use super::*;

const MEMORY: u64 = 1536 << 20;

fn message(failure: Failure) -> String {
    match failure {
        Failure::Upload(error) => error.to_string(),
        Failure::DiskFull => "disk full".to_owned(),
    }
}

#[test]
fn the_exit_status_determines_whose_fault_it_was() {
    let refused = r#"{"Refused":{"TooComplex":"reason"}}"#;
    let full = r#"{"Failed":{"message":"reason","disk_full":true}}"#;
    // Encoded as by `wait`: a signal, or an exit code in the second byte.
    for (status, stderr, expected) in [
        (24, "", "the plugin is too complex: compiling it takes more than 60 seconds of CPU time"),
        (25, "", "the plugin is too complex: its compiled code is larger than 256 MiB"),
        (6, "", "the plugin is too complex: compiling it takes more than 1,536 MiB of memory"),
        (11, "", "the plugin is too complex: compiling it takes more than 1,536 MiB of memory"),
        (
            101 << 8,
            "thread panicked",
            "the plugin cannot be compiled: the compiler failed; build the plugin with another version of its toolchain",
        ),
        (0, refused, "the plugin is too complex: reason"),
        (0, full, "disk full"),
        (9, "", "the compiler process failed"),
        (15, "", "the compiler process failed"),
        (0x300, "", "the compiler process failed"),
    ] {
        let failure = interpret_exit(ExitStatus::from_raw(status), stderr.as_bytes(), MEMORY).unwrap_err();
        assert_eq!(message(failure), expected, "{status} {stderr}");
    }
}

#[tokio::test]
async fn a_process_that_exceeds_its_wall_time_is_killed_and_its_upload_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("endless");
    std::fs::write(&program, "#!/bin/sh\nwhile :; do :; done\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let request = CompileRequest::new(&Limits::default(), true);
    let code = tempfile::tempfile().unwrap();
    let failure = run(&program, Duration::from_secs(1), &request, &Bytes::from_static(b"x"), code).await;
    let expected = "the plugin is too complex: compiling it takes more than 1 seconds";
    assert_eq!(message(failure.unwrap_err()), expected);
}

#[test]
fn only_a_valid_response_is_accepted() {
    let accepted =
        |imports: &str| format!("a warning\n{{\"Accepted\":{{\"imports\":{imports},\"exports\":[]}}}}\n");
    let ended = ExitStatus::from_raw(0);
    let shape =
        interpret_exit(ended, accepted(r#"["hookwright:plugin/log@1.0.0"]"#).as_bytes(), MEMORY).unwrap();
    assert_eq!(shape.imports, ["hookwright:plugin/log@1.0.0"]);
    for stderr in [
        String::new(),
        "{".to_owned(),
        accepted("[1]"),
        accepted(r#"["acme:thing/api@1.0.0"]"#),
        accepted(&format!("[{}]", vec![r#""wasi:io/error@0.2.0""#; 1_000].join(","))),
    ] {
        assert!(interpret_exit(ended, stderr.as_bytes(), MEMORY).is_err(), "{stderr}");
    }
}
