fn main() -> std::process::ExitCode {
    coffer_cli::main()
}
