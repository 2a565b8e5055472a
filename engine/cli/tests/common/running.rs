//! A process under test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that does not outlive the test. Its standard streams are pipes.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn();
        Self(Some(child.unwrap_or_else(|error| panic!("{:?} is needed: {error}", command.get_program()))))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("running")
    }

    /// The lines of its standard output, as they come.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = std::io::Result<String>> + use<> {
        BufReader::new(self.child().stdout.take().expect("a pipe")).lines()
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child().id()).expect("a process id"));
        kill(pid, signal).expect("signalled");
    }

    pub(crate) fn wait(mut self) -> Output {
        self.0.take().expect("running").wait_with_output().expect("it ends")
    }

    pub(crate) fn terminate(mut self) -> Output {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
