//! Keyed hashing with the hook's secrets.

use crate::Failure;

/// Computes the HMAC-SHA256 of `data` with the hook's secret of this name. The secret itself never enters the sandbox.
///
/// # Errors
/// `no-secret` if the hook has no secret of this name. Without a host, as in native tests, it always fails, so keep
/// signing out of the functions that you test natively.
pub fn hmac_sha256(name: &str, data: &[u8]) -> Result<Vec<u8>, Failure> {
    #[cfg(target_arch = "wasm32")]
    let result = crate::bindings::base::hookwright::plugin::secrets::hmac_sha256(name, data);
    #[cfg(not(target_arch = "wasm32"))]
    let result: Result<Vec<u8>, String> = {
        let _ = data;
        Err(format!("secret `{name}` is not available without a host"))
    };
    result.map_err(|message| Failure::new("no-secret", message))
}
