//! The example of a deployment: what it names exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::repository::FILES;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/deploy")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of variables in a text that begin with `HOOKWRIGHT_`.
fn variables(text: &str) -> BTreeSet<String> {
    let is_end = |c: char| !(c.is_ascii_uppercase() || c == '_');
    let parts = text.split("HOOKWRIGHT_").skip(1);
    parts.map(|rest| rest.split(is_end).next().unwrap_or_default().to_lowercase()).collect()
}

/// The lines of a mapping of a YAML file below the line `key:`, without their indentation.
fn members<'t>(yaml: &'t str, key: &str) -> Vec<&'t str> {
    let mut lines = yaml.lines().skip_while(|line| line.trim_end() != key);
    let indent = |line: &str| line.len() - line.trim_start().len();
    let outer = lines.next().map(indent).unwrap_or_else(|| panic!("no `{key}`"));
    let inner = lines.take_while(|line| line.trim().is_empty() || indent(line) > outer);
    inner.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What names settings to people: samples of deployments, and pages. Decisions may name settings of their time.
fn pages() -> Vec<(String, String)> {
    let is_page = |path: &str| path.ends_with(".md") && !path.starts_with("host/docs/decisions/");
    let pages = FILES.iter().filter(|file| is_page(&file.path));
    let mut pages: Vec<_> = pages.map(|file| (file.path.clone(), file.text.clone())).collect();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if !path.ends_with("secrets") => folders.push(path),
                true => {}
                false => pages.push((path.display().to_string(), std::fs::read_to_string(path).unwrap())),
            }
        }
    }
    pages
}

#[test]
fn the_samples_name_files_and_pages_that_exist() {
    let readme = text("README.md");
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_named =
            readme.contains(&name) || [".gitignore", "README.md", "secrets"].contains(&name.as_str());
        assert!(is_named, "README.md does not say what {name} is");
    }
    let unit = text("systemd/hookwright.service");
    for expected in
        ["Type=notify", "NotifyAccess=main", "ExecReload=/bin/kill -HUP $MAINPID", "Restart=always"]
    {
        assert!(unit.lines().any(|line| line == expected), "{expected}");
    }
    for manifest in ["kubernetes/one-node.yaml", "kubernetes/postgresql.yaml"] {
        for expected in ["path: /livez, port: admin", "path: /readyz, port: admin", "kind: NetworkPolicy"] {
            assert!(text(manifest).contains(expected), "{manifest}: {expected}");
        }
    }
}

#[test]
fn settings_of_the_deployment_are_settings_of_the_engine() {
    let settings = std::fs::read_to_string(folder().join("../../host/docs/settings.md")).unwrap();
    let is_setting = |name: &str| {
        // A secret setting can also be read from a file.
        let plain = name.strip_suffix("_file").unwrap_or(name);
        [name, plain].iter().any(|name| settings.contains(&format!("| `{name}` |")))
    };
    // Variables of clients, of tests and benchmarks, and of the build of guests.
    let is_other = |name: &str| {
        ["config", "url", "key", "listen_secret"].contains(&name)
            || ["test_", "bench_", "guest_"].iter().any(|part| name.starts_with(part))
    };
    for (path, text) in pages() {
        for name in variables(&text).iter().filter(|name| !name.is_empty()) {
            let variable = name.to_uppercase();
            assert!(is_setting(name) || is_other(name), "{path}: HOOKWRIGHT_{variable} is no setting");
        }
    }
    for line in text("systemd/hookwright.toml").lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(' ').next().unwrap();
        assert!(is_setting(name), "hookwright.toml: {name} is no setting");
    }
    for line in text("secrets.sh").lines().filter(|line| line.contains(" = \"")) {
        let name = line.split(' ').next().unwrap();
        assert!(settings.contains(&format!("| `{name}` |")), "secrets.sh: {name} is no setting");
    }
}

#[test]
fn files_volumes_and_secrets_of_the_deployment_exist() {
    let compose = text("compose.yml");
    assert!(!compose.contains('\t'), "YAML is indented with spaces");
    for file in ["Dockerfile", "Dockerfile.dockerignore", "Caddyfile", "secrets.sh", ".gitignore"] {
        assert!(folder().join(file).exists(), "{file}");
    }
    for context in compose.lines().filter_map(|line| line.trim().strip_prefix("context: ")) {
        assert!(folder().join(context).join("Cargo.lock").exists(), "{context}");
    }
    for dockerfile in compose.lines().filter_map(|line| line.trim().strip_prefix("dockerfile: ")) {
        assert!(folder().join("../..").join(dockerfile).exists(), "{dockerfile}");
    }
    let stages: Vec<String> =
        text("Dockerfile").lines().filter_map(|line| line.split(" AS ").nth(1).map(str::to_owned)).collect();
    for target in compose.lines().filter_map(|line| line.trim().strip_prefix("target: ")) {
        assert!(stages.iter().any(|stage| stage == target), "{target}");
    }
    let volumes = members(&compose, "volumes:");
    for mount in compose.lines().filter_map(|line| line.trim().strip_prefix("volumes: [\"")) {
        let name = mount.split(':').next().unwrap();
        assert!(volumes.contains(&format!("{name}:").as_str()), "no volume {name}");
    }
    let secrets = members(&compose, "secrets:");
    let made = text("secrets.sh");
    for used in compose.lines().filter_map(|line| line.trim().strip_prefix("secrets: [")) {
        let name = used.trim_end_matches(']');
        assert!(secrets.contains(&format!("{name}:").as_str()), "no secret {name}");
        assert!(secrets.contains(&format!("file: ./secrets/{name}").as_str()), "no file of {name}");
        assert!(made.contains(&format!("> secrets/{name}")), "secrets.sh does not make {name}");
    }
}

#[test]
fn the_proxy_knows_each_node_and_images_have_versions() {
    let compose = text("compose.yml");
    let nodes = compose.lines().filter_map(|line| line.strip_prefix("  node")?.strip_suffix(':'));
    // Services come first, then volumes with the same names.
    let nodes: BTreeSet<String> = nodes.map(|number| format!("node{number}:8080")).collect();
    assert_eq!(nodes.len(), 3);
    let proxy = text("Caddyfile");
    let line = proxy.lines().find_map(|line| line.trim().strip_prefix("reverse_proxy ")).unwrap();
    let upstreams: BTreeSet<String> = line.trim_end_matches(" {").split(' ').map(str::to_owned).collect();
    assert_eq!(upstreams, nodes);
    let images = compose.lines().filter_map(|line| line.trim().strip_prefix("image: "));
    let dockerfile = text("Dockerfile");
    let bases = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    for image in images.chain(bases.filter(|base| *base != "base")) {
        let version = image.split(':').nth(1).unwrap_or_default().trim_start_matches('v');
        assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{image} has no version");
    }
    assert!(dockerfile.contains("USER 10001"), "nothing runs as root");
    for secret in ["PASSWORD:", "ADMIN_KEY", "ENCRYPTION_KEY"] {
        assert!(!compose.contains(secret), "compose.yml contains {secret}");
    }
}
