//! `hookwright demo --nodes 3`.

use hookwright_tests::TIMEOUT;

use crate::BINARY;

#[tokio::test]
async fn the_demo_of_three_nodes_kills_one_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = BINARY.command();
    demo.args(["demo", "--nodes", "3"]).env("TMPDIR", directory.path()).kill_on_drop(true);
    // The server's own user must reach its directory.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let ended = tokio::time::timeout(2 * TIMEOUT, demo.output()).await.expect("it ends in time").unwrap();
    let text = String::from_utf8_lossy(&[ended.stdout.as_slice(), &ended.stderr].concat()).into_owned();
    assert!(ended.status.success(), "{text}");
    for expected in
        ["3 nodes on one PostgreSQL", "kill -9", "Every event arrived", "  0  lost", "taken over from"]
    {
        assert!(text.contains(expected), "no `{expected}`: {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colors without a terminal: {text}");
    let long = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None, "80 columns");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it leaves nothing");
}
