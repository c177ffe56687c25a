//! The operator's key: chosen by the operator, or made at the first start and shown once.

use std::io;

use crate::config::Config;
use crate::directory::{hash_key, new_key_text};
use crate::private_file::{self, OPERATOR_KEY_FILE};

/// The operator's key as the engine needs it.
#[derive(Debug)]
pub struct AdminKey {
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// The key's text, if it was made just now.
    pub generated: Option<String>,
}

/// The key that `config` gives; else the one that an earlier start made; else a new one.
///
/// # Errors
/// Where the file in the data directory cannot be read or written.
pub fn settle(config: &Config) -> io::Result<AdminKey> {
    if let Some(key) = &config.admin_key {
        return Ok(AdminKey { hash: hash_key(key.reveal()), generated: None });
    }
    let path = config.data_dir.join(OPERATOR_KEY_FILE);
    let Some(text) = private_file::read(&path)? else {
        let text = new_key_text();
        let hash = hash_key(&text);
        private_file::create(&path, format!("{}\n", hex::encode(hash)).as_bytes())?;
        return Ok(AdminKey { hash, generated: Some(text) });
    };
    let mut hash = [0; 32];
    hex::decode_to_slice(text.trim(), &mut hash).map_err(|_| {
        let what = format!("{} does not hold a SHA-256; delete it to have a new key made", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    Ok(AdminKey { hash, generated: None })
}
