//! The operator's key: set by the operator, or generated at the first start and shown once.

use std::io;

use crate::config::Config;
use crate::directory::{hash_key, new_key_text};
use crate::private_file::{self, OPERATOR_KEY_FILE};

/// The operator's key.
#[derive(Debug)]
pub struct AdminKey {
    /// The SHA-256 hash of the key.
    pub hash: [u8; 32],
    /// Whether the settings have it. Otherwise it was generated, and its text may be lost.
    pub is_set: bool,
    /// The text of the key, if this call generated it.
    pub generated: Option<String>,
}

/// Returns the key in `config`, else the key that an earlier start generated, else a new key.
///
/// # Errors
/// Fails if the file in the data directory cannot be read or written.
pub fn load_or_create(config: &Config) -> io::Result<AdminKey> {
    if let Some(key) = &config.admin_key {
        return Ok(AdminKey { hash: hash_key(key.reveal()), is_set: true, generated: None });
    }
    let path = config.data_dir.join(OPERATOR_KEY_FILE);
    let Some(text) = private_file::read(&path)? else {
        let text = new_key_text();
        let hash = hash_key(&text);
        private_file::create(&path, format!("{}\n", hex::encode(hash)).as_bytes())?;
        return Ok(AdminKey { hash, is_set: false, generated: Some(text) });
    };
    let mut hash = [0; 32];
    hex::decode_to_slice(text.trim(), &mut hash).map_err(|_| {
        let what =
            format!("{} does not contain a SHA-256 hash; delete it to generate a new key", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    Ok(AdminKey { hash, is_set: false, generated: None })
}
