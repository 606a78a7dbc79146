use clap::CommandFactory;

use super::unusable;
use crate::args::{Cli, ManArgs};
use crate::exit::Result;
use crate::output::{Stdout, output_failure};

/// Writes the manual.
///
/// # Errors
/// Fails if standard output or the folder does.
pub fn run(args: &ManArgs) -> Result<()> {
    if let Some(folder) = &args.folder {
        return clap_mangen::generate_to(Cli::command(), folder)
            .map_err(|error| unusable(folder, &error));
    }
    let mut out = Stdout::new()?;
    clap_mangen::Man::new(Cli::command()).render(&mut out).map_err(output_failure)?;
    out.finish()
}
