use std::io::Write;

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::exit::Result;
use crate::output::{Stdout, output_failure};

/// Writes completions for a shell.
///
/// # Errors
/// Fails if standard output does.
pub fn run(args: &CompletionsArgs) -> Result<()> {
    // The generator panics on a closed pipe, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "coffer", &mut script);
    let mut out = Stdout::new()?;
    out.write_all(&script).map_err(output_failure)?;
    out.finish()
}
