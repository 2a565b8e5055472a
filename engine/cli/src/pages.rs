//! Completions and manual pages, made from the command line's own description.

use std::io;

use crate::args::{self, Completions, Man};
use crate::failure::Failure;

pub(crate) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "headcast", &mut page);
    print(&page)
}

pub(crate) fn man(args: &Man) -> Result<(), Failure> {
    let command = args::command();
    if let Some(directory) = &args.directory {
        std::fs::create_dir_all(directory).map_err(Failure::about(directory.display()))?;
        return clap_mangen::generate_to(command, directory).map_err(Failure::about(directory.display()));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(Failure::about("the manual page"))?;
    print(&page)
}

fn print(page: &[u8]) -> Result<(), Failure> {
    match io::Write::write_all(&mut io::stdout(), page) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::about("standard output")),
    }
}
