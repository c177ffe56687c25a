//! Row (g).
use crate::table::Table;
use anyhow::Result;
pub async fn run(_: &mut Table) -> Result<()> {
    Ok(())
}
