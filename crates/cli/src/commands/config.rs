//! `mykeeper config example`

use crate::failure::Status;
use crate::output::print_as_is as print;

pub(crate) fn example(keeper: bool, schedule: bool) -> anyhow::Result<Status> {
    if keeper {
        print(mykeeper_config::EXAMPLE_KEEPER.trim_end())?;
    } else if schedule {
        print(mykeeper_config::EXAMPLE_SCHEDULE.trim_end())?;
    } else {
        print("# ---- mykeeper.toml ----")?;
        print(mykeeper_config::EXAMPLE_KEEPER.trim_end())?;
        print("\n# ---- schedule.toml ----")?;
        print(mykeeper_config::EXAMPLE_SCHEDULE.trim_end())?;
    }
    Ok(Status::Done)
}
