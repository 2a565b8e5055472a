use std::net::UdpSocket;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::respond::answer::{ANSWER_MAX, Stray};
use crate::respond::recording::{Recording, SOON};
use crate::respond::tally::Count;

/// An application that does what a test says.
enum App {
    Udp(UdpSocket),
    Unix(UnixDatagram, PathBuf),
}

/// Where a message came from.
#[derive(Clone, Debug)]
enum From {
    Udp(std::net::SocketAddr),
    Unix(UnixAddr),
}

impl From {
    fn name(&self) -> String {
        format!("{self:?}")
    }
}

impl App {
    /// One of each kind.
    fn both() -> [Self; 2] {
        [Self::udp(), Self::unix()]
    }

    fn udp() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(SOON)).expect("a time-out");
        Self::Udp(socket)
    }

    fn unix() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("headcast-app-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        Self::at(std::env::temp_dir().join(name))
    }

    fn at(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).expect("a path");
        socket.set_read_timeout(Some(SOON)).expect("a time-out");
        Self::Unix(socket, path)
    }

    fn address(&self) -> Listen {
        match self {
            Self::Udp(socket) => Listen::Udp(socket.local_addr().expect("an address")),
            Self::Unix(_, path) => Listen::Unix(path.clone()),
        }
    }

    fn receive(&self) -> (u64, From) {
        let mut buffer = [0; 8];
        let from = match self {
            Self::Udp(socket) => From::Udp(socket.recv_from(&mut buffer).expect("a message").1),
            Self::Unix(socket, _) => From::Unix(socket.recv_from(&mut buffer).expect("a message").1),
        };
        (u64::from_le_bytes(buffer), from)
    }

    fn reply(&self, to: &From, answer: &[u8]) -> io::Result<usize> {
        match (self, to) {
            (Self::Udp(socket), From::Udp(to)) => socket.send_to(answer, to),
            (Self::Unix(socket, _), From::Unix(to)) => socket.send_to_addr(answer, to),
            _ => panic!("an address of another kind"),
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

struct Setup {
    forward: Forward<u64>,
    recording: Arc<Recording>,
}

impl Setup {
    fn new(app: &Listen, concurrency: usize, timeout: Duration, backlog: usize) -> Self {
        let recording = Recording::new();
        let outbox: Outbox<u64> = Arc::<Recording>::clone(&recording);
        let forward = Forward::start(app, concurrency, timeout, backlog, outbox).expect("started");
        Self { forward, recording }
    }

    /// The message is its number.
    fn ask(&self, number: u64) {
        self.forward.ask(number, &number.to_le_bytes());
    }
}

fn answer(number: u64) -> Vec<u8> {
    format!("answer to {number}").into_bytes()
}

#[test]
fn replies_in_any_order_answer_the_messages_that_they_are_replies_to() {
    for app in App::both() {
        let setup = Setup::new(&app.address(), 8, SOON, 100);
        (0..8).for_each(|number| setup.ask(number));
        let mut messages: Vec<_> = (0..8).map(|_| app.receive()).collect();
        let numbers: Vec<u64> = messages.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..8).collect::<Vec<_>>(), "messages keep their order");
        messages.reverse();
        messages.swap(2, 5);
        for (number, from) in &messages {
            app.reply(from, &answer(*number)).expect("sent");
        }
        let expected: Vec<_> = (0..8).map(|number| (number, Ok(answer(number)))).collect();
        assert_eq!(setup.recording.settled(8), expected);
    }
}

#[test]
fn an_answer_may_be_empty_and_not_longer_than_a_response() {
    for app in App::both() {
        let setup = Setup::new(&app.address(), 8, SOON, 100);
        let lengths = [0, ANSWER_MAX, ANSWER_MAX + 1];
        for (number, length) in (0..).zip(lengths) {
            setup.ask(number);
            app.reply(&app.receive().1, &vec![7; length]).expect("sent");
        }
        let settled = setup.recording.settled(3);
        let lengths: Vec<_> =
            settled.iter().map(|(_, outcome)| outcome.as_ref().map(Vec::len).map_err(|why| *why)).collect();
        assert_eq!(lengths, [Ok(0), Ok(ANSWER_MAX), Err(Count::TooLong)]);
    }
}

#[test]
fn a_late_reply_is_counted_and_answers_no_other_message() {
    for app in App::both() {
        let setup = Setup::new(&app.address(), 1, Duration::from_millis(300), 100);
        setup.ask(0);
        let (_, first) = app.receive();
        assert_eq!(setup.recording.settled(1), [(0, Err(Count::TimedOut))]);
        setup.ask(1);
        let (_, second) = app.receive();
        assert_ne!(first.name(), second.name());
        app.reply(&first, b"late").expect("the address is kept for it");
        app.reply(&second, &answer(1)).expect("sent");
        assert_eq!(setup.recording.settled(2)[1], (1, Ok(answer(1))));
        assert_eq!(setup.recording.strays(1), [Stray::Late]);
    }
}

#[test]
fn a_message_is_given_up_in_time_although_nothing_else_happens() {
    for app in App::both() {
        let setup = Setup::new(&app.address(), 1, Duration::from_millis(200), 100);
        setup.ask(0);
        app.reply(&app.receive().1, &answer(0)).expect("sent");
        assert_eq!(setup.recording.settled(1), [(0, Ok(answer(0)))]);
        // Long enough that the thread sleeps, and has no reason of its own to wake.
        std::thread::sleep(Duration::from_millis(50));
        setup.ask(1);
        assert_eq!(setup.recording.settled(2)[1], (1, Err(Count::TimedOut)));
    }
}

#[test]
fn a_second_reply_is_counted_and_answers_no_other_message() {
    for app in App::both() {
        let setup = Setup::new(&app.address(), 1, SOON, 100);
        setup.ask(0);
        let (_, first) = app.receive();
        app.reply(&first, &answer(0)).expect("sent");
        setup.recording.settled(1);
        setup.ask(1);
        let (_, second) = app.receive();
        assert_ne!(first.name(), second.name(), "a line rests after a reply");
        app.reply(&first, b"again").expect("the address is kept for it");
        assert_eq!(setup.recording.strays(1), [Stray::Repeated]);
        app.reply(&second, &answer(1)).expect("sent");
        assert_eq!(setup.recording.settled(2), [(0, Ok(answer(0))), (1, Ok(answer(1)))]);
    }
}

#[test]
fn a_strangers_reply_answers_nothing() {
    for (app, stranger) in App::both().into_iter().zip(App::both()) {
        let setup = Setup::new(&app.address(), 1, SOON, 100);
        setup.ask(0);
        let (_, from) = app.receive();
        match stranger.reply(&from, b"mine") {
            // The kernel keeps it out.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
            Ok(_) => assert_eq!(setup.recording.strays(1), [Stray::Stranger]),
        }
        app.reply(&from, &answer(0)).expect("sent");
        assert_eq!(setup.recording.settled(1), [(0, Ok(answer(0)))]);
    }
}

#[test]
fn nobody_there_is_noticed_at_once_and_a_new_application_is_found() {
    let udp = {
        let app = App::udp();
        app.address()
    };
    let unix = {
        let app = App::unix();
        app.address()
    };
    for address in [udp, unix] {
        // Were it not noticed, the time-out would be longer than the test waits.
        let setup = Setup::new(&address, 1, 2 * SOON, 100);
        for number in 0..3 {
            setup.ask(number);
            let settled = setup.recording.settled(usize::try_from(number).expect("small") + 1);
            assert_eq!(settled.last(), Some(&(number, Err(Count::NotHandedOn))));
        }
        let app = match &address {
            Listen::Udp(address) => {
                let socket = UdpSocket::bind(address).expect("still free");
                socket.set_read_timeout(Some(SOON)).expect("a time-out");
                App::Udp(socket)
            }
            Listen::Unix(path) => App::at(path.clone()),
        };
        setup.ask(3);
        let (number, from) = app.receive();
        app.reply(&from, &answer(number)).expect("sent");
        assert_eq!(setup.recording.settled(4)[3], (3, Ok(answer(3))));
    }
}

#[test]
fn all_messages_are_handed_on_in_their_order_also_those_that_will_not_be_answered() {
    for app in App::both() {
        let setup = Setup::new(&app.address(), 1, SOON, 2);
        (0..5).for_each(|number| setup.ask(number));
        assert_eq!(setup.recording.settled(2), [(1, Err(Count::BacklogFull)), (2, Err(Count::BacklogFull))]);
        let handed_on: Vec<_> = (0..3).map(|_| app.receive()).collect();
        assert_eq!(handed_on.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2]);
        app.reply(&handed_on[1].1, b"not awaited").expect("somebody is there");
        assert_eq!(setup.recording.strays(1), [Stray::Unawaited]);
        app.reply(&handed_on[0].1, &answer(0)).expect("sent");
        for expected in [3, 4] {
            let (number, from) = app.receive();
            assert_eq!(number, expected);
            app.reply(&from, &answer(number)).expect("sent");
        }
        let settled = setup.recording.settled(5);
        assert_eq!(settled[0], (0, Ok(answer(0))));
        assert_eq!(settled[3..], [(3, Ok(answer(3))), (4, Ok(answer(4)))]);
    }
}

#[test]
fn messages_wait_for_an_application_whose_socket_is_full() {
    let app = App::unix();
    let limit = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").expect("a limit");
    let messages = limit.trim().parse::<u64>().expect("a number") + 20;
    let many = usize::try_from(messages).expect("small");
    let setup = Setup::new(&app.address(), many, SOON, many);
    let last = messages - 1;
    (0..last).for_each(|number| setup.ask(number));
    for expected in 0..messages {
        let (number, from) = app.receive();
        assert_eq!(number, expected);
        if expected == 0 {
            // Now there is room for one, but others have waited for longer.
            setup.ask(last);
        }
        app.reply(&from, &answer(number)).expect("sent");
    }
    assert!(setup.recording.settled(many).iter().all(|(_, outcome)| outcome.is_ok()));
}

#[test]
fn thousands_of_messages_find_their_answers_though_some_are_answered_twice() {
    const MESSAGES: u64 = 4_000;
    for app in App::both() {
        let setup = Setup::new(&app.address(), 16, SOON, 10_000);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..MESSAGES {
                    let (number, from) = app.receive();
                    app.reply(&from, &answer(number)).expect("sent");
                    if number % 7 == 0 {
                        app.reply(&from, b"once more").expect("sent");
                    }
                }
            });
            (0..MESSAGES).for_each(|number| setup.ask(number));
        });
        let settled = setup.recording.settled(usize::try_from(MESSAGES).expect("small"));
        let expected: Vec<_> = (0..MESSAGES).map(|number| (number, Ok(answer(number)))).collect();
        assert!(settled == expected, "every message has its own answer");
        let twice = usize::try_from(MESSAGES.div_ceil(7)).expect("small");
        assert!(setup.recording.strays(twice).iter().all(|stray| *stray == Stray::Repeated));
    }
}

#[test]
fn at_the_end_replies_are_waited_for_and_then_no_more() {
    for app in App::both() {
        let setup = Setup::new(&app.address(), 2, SOON, 100);
        (0..4).for_each(|number| setup.ask(number));
        std::thread::scope(|scope| {
            let finished = scope.spawn(|| setup.forward.finish(report::now() + SOON));
            for _ in 0..4 {
                let (number, from) = app.receive();
                app.reply(&from, &answer(number)).expect("sent");
            }
            finished.join().expect("no panic");
        });
        assert!(setup.recording.settled(4).iter().all(|(_, outcome)| outcome.is_ok()));

        (4..8).for_each(|number| setup.ask(number));
        setup.forward.finish(report::now() + Duration::from_millis(100));
        let settled = setup.recording.settled(8);
        assert!(settled[4..].iter().all(|(_, outcome)| *outcome == Err(Count::Stopped)));
        let handed_on: Vec<u64> = (0..4).map(|_| app.receive().0).collect();
        assert_eq!(handed_on, [4, 5, 6, 7], "the application has them all the same");
    }
}
