//! Keyed hashing with the hook's secrets.

use crate::Failure;

/// HMAC-SHA256 of `data` under the hook's secret of this name. The secret itself never enters the sandbox.
///
/// # Errors
/// `no-secret` with the host's words if the hook has none of that name, and always outside a host, as in
/// native tests: keep the signing apart from what you test.
pub fn hmac_sha256(name: &str, data: &[u8]) -> Result<Vec<u8>, Failure> {
    #[cfg(target_arch = "wasm32")]
    let answer = crate::bindings::base::hookwright::plugin::secrets::hmac_sha256(name, data);
    #[cfg(not(target_arch = "wasm32"))]
    let answer: Result<Vec<u8>, String> = {
        let _ = data;
        Err(format!("secret `{name}` can't be reached: there is no host"))
    };
    answer.map_err(|message| Failure::new("no-secret", message))
}
