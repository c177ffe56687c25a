//! Small components that expand to a large size.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use crate::abuse::{Abuse, Guard};
use crate::peer::{PAUSE, whole};
use crate::site::Site;

/// Uploads that multiply exports, repeated by clients that disconnect after a second.
pub struct Uploads;

const SENDERS: usize = 4;
const HANG_UP_AFTER: Duration = Duration::from_secs(1);

#[async_trait]
impl Abuse for Uploads {
    fn name(&self) -> &'static str {
        "hostile-uploads"
    }

    fn what(&self) -> &'static str {
        "10,000 exports x 900 instances; 40,000 exports x 400 imports x 5 components"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let components = tokio::task::spawn_blocking(|| -> Result<_> {
            Ok([wat::parse_str(many_instances(10_000, 900))?, wat::parse_str(many_imports(40_000, 400, 5))?])
        });
        let components = components.await??;
        let mut guard = Guard::new(site);
        for sender in 0..SENDERS {
            let tenant = site.tenant(&format!("uploads-{sender}")).await;
            let wasm = &components[sender % components.len()];
            let request =
                whole("PUT", &format!("/plugins/hostile-{sender}"), &tenant.key, "application/wasm", wasm);
            let peer = site.peer();
            guard.spawn(async move {
                loop {
                    // Do not wait longer for a response.
                    let _ = tokio::time::timeout(HANG_UP_AFTER, peer.exchange(&request)).await;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Ok(guard)
    }
}

/// A component that instantiates a nested one with `exports` exports `instances` times.
fn many_instances(exports: usize, instances: usize) -> String {
    let mut text = String::from("(component (component $c (type $t (list u8))");
    for number in 0..exports {
        let _ = write!(text, "(export \"e{number:x}\" (type $t))");
    }
    text.push(')');
    for _ in 0..instances {
        text.push_str("(instance (instantiate $c))");
    }
    text.push(')');
    text
}

/// A component with `nested` components that each import `imports` instances of a type with `exports` exports.
fn many_imports(exports: usize, imports: usize, nested: usize) -> String {
    let mut text = String::from("(component (type $i (instance (type $f (func))");
    for number in 0..exports {
        let _ = write!(text, "(export \"e{number:x}\" (func (type $f)))");
    }
    text.push_str("))");
    for _ in 0..nested {
        text.push_str("(component (alias outer 1 $i (type $j))");
        for number in 0..imports {
            let _ = write!(text, "(import \"i{number:x}\" (instance (type $j)))");
        }
        text.push(')');
    }
    text.push(')');
    text
}
