//! Files that contain one secret each, such as credentials of systemd or secrets of Docker and Kubernetes.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use super::error::{ConfigError, Origin};
use super::setting::Setting;

/// The greatest size of a file, in bytes. No secret is nearly as long.
const MAX_LEN: u64 = 64 * 1024;

/// The value of `setting`, which is in the file at `path`. One line break at its end does not belong to it. A list may have an
/// item on each line.
///
/// # Errors
/// Fails if the file cannot be read, is too large, empty, or not UTF-8. The message never has its content.
pub(super) fn read(
    setting: &'static Setting,
    path: PathBuf,
    origin: Origin,
) -> Result<(String, Origin), ConfigError> {
    let name = setting.file_name;
    let bad = |path: &PathBuf, problem| ConfigError::BadSecretFile {
        name,
        path: path.clone(),
        origin: origin.clone(),
        problem,
    };
    let content = content(&path).map_err(|source| ConfigError::UnreadableSecretFile {
        name,
        path: path.clone(),
        origin: origin.clone(),
        source,
    })?;
    if content.len() as u64 > MAX_LEN {
        return Err(bad(&path, "is larger than 64 KiB"));
    }
    let text = String::from_utf8(content).map_err(|_| bad(&path, "is not UTF-8"))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(bad(&path, "is empty"));
    }
    let text = if setting.list { text.lines().collect::<Vec<_>>().join(",") } else { text.to_owned() };
    Ok((text, Origin::SecretFile { name, path }))
}

fn content(path: &PathBuf) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_LEN + 1).read_to_end(&mut content)?;
    Ok(content)
}
