//! `mykeeper restore`: puts a set into a server.

use super::parse_bk_id;
use crate::args::RestoreArgs;
use crate::failure::{Failure, Status};
use std::path::Path;

pub(crate) async fn run(_config: &Path, args: &RestoreArgs, _json: bool) -> anyhow::Result<Status> {
    let id = parse_bk_id(&args.bk_id)?;
    Err(Failure::unavailable(format!(
        "set {id} cannot be restored into {} yet",
        args.into
    )))
}
