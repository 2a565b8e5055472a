//! Responders are killed while they respond: what was acknowledged to them is stored.
//!
//! Each is a process of its own, this program again, that writes down what is acknowledged.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::account::{self, Account};
use crate::chance::Chance;
use crate::database::Site;
use crate::load::{Answer, Speaker};
use crate::process::Recorder;
use crate::support::{on_each_database, until};

const KILLS: u32 = 50;
const AT_ONCE: u32 = 3;
const SEED: u64 = 0x5eed_0003;
/// Where a process finds whom to respond to, and its number.
const RECORDER: &str = "HEADCAST_TEST_RECORDER";
const ID: &str = "HEADCAST_TEST_RESPONDER";
const STREAM: u16 = 1;
/// The most that one of them says.
const MOST: u64 = 200_000;

on_each_database! { kills_of_responders_lose_nothing_that_was_acknowledged }

fn kills_of_responders_lose_nothing_that_was_acknowledged<S: Site>() {
    println!("seed {SEED:#x}");
    let mut chance = Chance::new(SEED);
    let site = S::new();
    let mut recorder = Recorder::start(&site.url(), &["--keep-all"]);
    recorder.until_ready();
    let start = |id| (id, Killed::start(recorder.address(), id));
    let mut running: Vec<(u32, Killed)> = (1..=AT_ONCE).map(start).collect();
    let mut acknowledged: HashMap<u32, u64> = HashMap::new();
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(20 + chance.below(60)));
        let victim = usize::try_from(chance.below(u64::from(AT_ONCE))).expect("a few");
        let (id, process) = std::mem::replace(&mut running[victim], start(AT_ONCE + 1 + kill));
        acknowledged.insert(id, process.kill());
    }
    for (id, process) in running {
        acknowledged.insert(id, process.kill());
    }
    // What was on its way is taken, stored and in order.
    recorder.terminate().totals();

    let tables = site.tables();
    let most = tables.responders.values().max().copied().unwrap_or(1);
    let sent: Vec<Answer> = (1..most + 64).map(answer).collect();
    for (who, next) in &tables.responders {
        let told = acknowledged[&who.0];
        assert!(*next >= told, "{who:?} was told {told}, and {next} is the first that is not stored");
    }
    let told: Vec<u64> = acknowledged.values().copied().filter(|below| *below > 1).collect();
    assert!(told.len() > KILLS as usize / 5, "killed while something was acknowledged: {}", told.len());
    for (id, below) in &acknowledged {
        assert!(*below == 1 || tables.responders.keys().any(|who| who.0 == *id), "{id} is not known");
    }
    let accounts = acknowledged.iter().map(|(id, below)| Account {
        id: *id,
        sent: sent.clone(),
        acknowledged_below: *below,
    });
    account::check(&tables, &accounts.collect::<Vec<_>>());
}

/// What every process says: the same to the same message.
fn answer(seq: u64) -> Answer {
    let result = format!("{seq} is done").into_bytes();
    Answer { subject: (9, Speaker::SESSION.to_bits(), STREAM, seq, 0), result }
}

/// A process that responds until it is killed.
struct Killed(Child);

impl Killed {
    fn start(recorder: SocketAddr, id: u32) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "responder_killed::the_one_that_is_killed", "--ignored", "--nocapture"]);
        command.env(RECORDER, recorder.to_string()).env(ID, id.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().expect("it starts"))
    }

    /// Kills it; returns below what everything had been acknowledged to it, as far as it could still say.
    fn kill(mut self) -> u64 {
        self.0.kill().expect("killed");
        self.0.wait().expect("a child");
        let mut said = String::new();
        self.0.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
        let whole_lines = &said[..said.rfind('\n').map_or(0, |at| at + 1)];
        let mut told = whole_lines.lines().filter_map(|line| line.strip_prefix("acknowledged below "));
        told.next_back().map_or(1, |below| below.parse().expect("a number"))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "a process that another test starts"]
fn the_one_that_is_killed() {
    let (Ok(recorder), Ok(id)) = (std::env::var(RECORDER), std::env::var(ID)) else { return };
    let speaker = Speaker::new(id.parse().expect("a number"), &[recorder.parse().expect("an address")], 4096);
    let (mut seq, mut told) = (1, 1);
    while seq < MOST {
        for _ in 0..8 {
            if !speaker.say(STREAM, seq, &answer(seq).result) {
                break;
            }
            seq += 1;
        }
        let below = speaker.responder.acknowledged_below();
        if below > told {
            told = below;
            // In one piece, so that a kill cannot leave half a number.
            let line = format!("\nacknowledged below {told}\n");
            std::io::stdout().write_all(line.as_bytes()).expect("somebody reads");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    until("somebody kills it", || false);
}
