use clap::Args;

const HELP: &str = "\
Examples:
  coffer completions bash > /etc/bash_completion.d/coffer
  coffer completions zsh > ~/.zfunc/_coffer
  coffer completions fish > ~/.config/fish/completions/coffer.fish";

/// Write completions for a shell to standard output
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CompletionsArgs {
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}
