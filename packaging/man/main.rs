//! Writes the manual pages, from what the programs themselves parse, into a folder: `cargo run --example man -- DIR`.

use std::path::PathBuf;
use std::process::ExitCode;

mod pages;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: man DIR");
        return ExitCode::from(2);
    };
    for (name, text) in pages::all() {
        let path = folder.join(name);
        if let Err(error) = std::fs::write(&path, text) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
