use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::*;
use crate::report;
use crate::respond::answer::ANSWER_MAX;
use crate::respond::recording::{Outcome, Recording, SOON};
use crate::respond::tally::Count;

fn recipe(command: &[&str], timeout: Duration) -> Recipe {
    let (program, arguments) = command.split_first().expect("a program");
    Recipe { program: program.into(), arguments: arguments.iter().map(Into::into).collect(), timeout }
}

/// What becomes of one message.
fn run(command: &[&str], payload: &[u8], timeout: Duration) -> Outcome {
    let recording = Recording::new();
    let exec =
        Exec::start(recipe(command, timeout), 1, 10, Arc::<Recording>::clone(&recording)).expect("started");
    exec.ask(7, payload);
    let (number, outcome) = recording.settled(1).remove(0);
    assert_eq!(number, 7);
    exec.finish(report::now() + SOON);
    assert_eq!(recording.settled(1).len(), 1, "a message is settled once");
    outcome
}

fn shell(script: &str) -> Outcome {
    run(&["sh", "-c", script], b"message", SOON)
}

/// A directory that is gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("headcast-exec-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = report::now() + SOON;
    while !holds() {
        assert!(report::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a process is gone, or only its parent has not taken notice yet.
fn until_dead(pid: &str) {
    let stat = Path::new("/proc").join(pid).join("stat");
    until("the process is killed", || {
        std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X "))
    });
}

#[test]
fn the_answer_is_what_the_command_makes_of_the_message() {
    assert_eq!(run(&["cat"], b"hello", SOON), Ok(b"hello".to_vec()));
    assert_eq!(run(&["cat"], b"", SOON), Ok(vec![]));
    let long: Vec<u8> = (0..=250).cycle().take(ANSWER_MAX).collect();
    assert!(run(&["cat"], &long, SOON) == Ok(long), "as long as can be");
    assert_eq!(run(&["tr", "a-z", "A-Z"], b"hello", SOON), Ok(b"HELLO".to_vec()));
}

#[test]
fn the_command_is_told_which_message_it_is() {
    let names =
        ["PUBLISHER", "SESSION", "STREAM", "SEQ", "PART"].map(|name| format!("$HEADCAST_MESSAGE_{name}"));
    assert_eq!(shell(&format!("printf %s \"{}\"", names.join(" "))), Ok(b"1 2 3 7 4".to_vec()));
}

#[test]
fn a_command_that_does_not_read_the_message_answers_all_the_same() {
    let message = vec![b'x'; 1 << 20];
    assert_eq!(run(&["head", "-c", "1"], &message, SOON), Ok(b"x".to_vec()));
    assert_eq!(run(&["echo", "read nothing"], &message, SOON), Ok(b"read nothing\n".to_vec()));
    assert_eq!(shell("exec 0<&-; sleep 0.1; echo late"), Ok(b"late\n".to_vec()));
}

#[test]
fn failures_are_told_apart() {
    assert_eq!(run(&["false"], b"x", SOON), Err(Count::Exited));
    assert_eq!(shell("echo partly; exit 3"), Err(Count::Exited));
    assert_eq!(shell("kill -9 $$"), Err(Count::Signalled));
    assert_eq!(run(&["/nonexistent/program"], b"x", SOON), Err(Count::NotStarted));
    assert_eq!(run(&["yes"], b"x", SOON), Err(Count::TooLong));
    let over = (ANSWER_MAX + 1).to_string();
    assert_eq!(run(&["head", "-c", &over, "/dev/zero"], b"x", SOON), Err(Count::TooLong));
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_all_that_it_has_started() {
    let scratch = Scratch::new();
    let file = scratch.0.join("pid");
    let script = format!("sleep 1000 & echo $! >{0}.new; mv {0}.new {0}; sleep 1000", file.display());
    let recording = Recording::new();
    let recipe = recipe(&["sh", "-c", &script], Duration::from_millis(500));
    let exec = Exec::start(recipe, 1, 1, Arc::<Recording>::clone(&recording)).expect("started");
    exec.ask(1, b"x");
    assert_eq!(recording.settled(1), [(1, Err(Count::TimedOut))]);
    until("it came as far as that", || file.exists());
    until_dead(std::fs::read_to_string(&file).expect("a number").trim());
}

#[test]
fn closed_output_does_not_hide_that_a_command_goes_on() {
    assert_eq!(
        run(&["sh", "-c", "exec 1>&-; sleep 1000"], b"x", Duration::from_millis(200)),
        Err(Count::TimedOut)
    );
}

#[test]
fn what_a_command_leaves_behind_is_killed_and_not_waited_for() {
    // The process in the background has the output open, too.
    let answer = shell("sleep 1000 & echo $!").expect("an answer");
    until_dead(std::str::from_utf8(&answer).expect("a number").trim());
}

#[test]
fn as_many_commands_run_at_once_as_may() {
    let scratch = Scratch::new();
    // Each waits until three have been there at once, and tells how many there are.
    let script = format!(
        "cd {}; mkdir -p running; touch running/$HEADCAST_MESSAGE_SEQ; \
         until [ $(ls running | wc -l) -ge 3 ] || [ -e three ]; do sleep 0.01; done; \
         touch three; ls running | wc -l; sleep 0.05; rm running/$HEADCAST_MESSAGE_SEQ",
        scratch.0.display()
    );
    let recording = Recording::new();
    let recipe = recipe(&["sh", "-c", &script], SOON);
    let exec = Exec::start(recipe, 3, 100, Arc::<Recording>::clone(&recording)).expect("started");
    (0..12).for_each(|number| exec.ask(number, b"x"));
    let settled = recording.settled(12);
    let seen: Vec<u32> = settled
        .iter()
        .map(|(_, outcome)| {
            let text = String::from_utf8(outcome.clone().expect("an answer")).expect("text");
            text.trim().parse().expect("a number")
        })
        .collect();
    assert_eq!(seen.iter().max(), Some(&3), "{seen:?}");
}

#[test]
fn messages_for_which_there_is_no_room_are_refused_at_once() {
    let scratch = Scratch::new();
    let gate = scratch.0.join("gate");
    let script = format!("touch {0}.waits; until [ -e {0} ]; do sleep 0.01; done; cat", gate.display());
    let recording = Recording::new();
    let exec = Exec::start(recipe(&["sh", "-c", &script], SOON), 1, 2, Arc::<Recording>::clone(&recording))
        .expect("started");
    exec.ask(0, b"zero");
    until("the first one runs", || gate.with_extension("waits").exists());
    (1..=4).for_each(|number| exec.ask(number, b"later"));
    assert_eq!(recording.settled(2), [(3, Err(Count::BacklogFull)), (4, Err(Count::BacklogFull))]);
    assert_eq!(exec.left(), 3);
    std::fs::write(&gate, "").expect("written");
    let later = || Ok(b"later".to_vec());
    assert_eq!(recording.settled(5)[..3], [(0, Ok(b"zero".to_vec())), (1, later()), (2, later())]);
}

#[test]
fn at_the_end_what_was_accepted_is_answered() {
    let recording = Recording::new();
    let exec =
        Exec::start(recipe(&["cat"], SOON), 2, 100, Arc::<Recording>::clone(&recording)).expect("started");
    (0..20).for_each(|number| exec.ask(number, b"x"));
    exec.finish(report::now() + SOON);
    assert_eq!(exec.left(), 0);
    assert!(recording.settled(20).iter().all(|(_, outcome)| outcome.is_ok()));
    exec.ask(20, b"x");
    assert_eq!(recording.settled(21)[20], (20, Err(Count::BacklogFull)));
}

#[test]
fn what_is_not_answered_by_the_end_is_killed_and_counted() {
    let recording = Recording::new();
    let recipe = recipe(&["sleep", "1000"], Duration::from_secs(1000));
    let exec = Exec::start(recipe, 2, 100, Arc::<Recording>::clone(&recording)).expect("started");
    (0..5).for_each(|number| exec.ask(number, b"x"));
    exec.finish(report::now() + Duration::from_millis(200));
    assert_eq!(exec.left(), 0);
    assert!(recording.settled(5).iter().all(|(_, outcome)| *outcome == Err(Count::Stopped)));
}
