use clap::Command;

use super::*;

fn parse_from(line: &str) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(line.split(' '))?;
    Cli::from_arg_matches(&matches)
}

#[test]
fn the_command_line_is_sound() {
    command().debug_assert();
}

#[test]
fn every_option_has_its_place_in_the_environment_and_a_help_text() {
    fn check(command: &Command) -> usize {
        let own = if command.get_name() == "demo" { "HEADCAST_DEMO" } else { "HEADCAST" };
        let mut options = 0;
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{} {arg} has no help", command.get_name());
            match arg.get_long() {
                Some("help" | "version") | None => {}
                Some(long) => {
                    let prefix = if arg.is_global_set() { "HEADCAST" } else { own };
                    assert_eq!(
                        arg.get_env(),
                        Some(variable(prefix, long).as_ref()),
                        "{} {arg}",
                        command.get_name()
                    );
                    options += 1;
                }
            }
        }
        options + command.get_subcommands().map(check).sum::<usize>()
    }
    let mut command = command();
    command.build();
    assert!(check(&command) > 40);
    assert_eq!(variable("HEADCAST", "dns-server"), "HEADCAST_DNS_SERVER");
}

#[test]
fn options_that_say_more_about_a_name_go_with_it() {
    for line in [
        "headcast publish --to a.b --srv --message x",
        "headcast publish --to a:1 --dns-server 127.0.0.1 --exclude 10.0.0.1 --exclude-self --max-peers 5 --message x",
        "headcast relay --listen udp://127.0.0.1:1 --peers-file f --max-peers 5",
    ] {
        assert!(
            parse_from(line).is_ok(),
            "{line}: {:?}",
            parse_from(line).err().map(|error| error.to_string())
        );
    }
    assert!(
        parse_from("headcast publish --max-peers 3 --message x").is_err(),
        "it needs a source all the same"
    );
}

#[test]
fn exactly_one_source_of_peers_is_needed() {
    assert!(parse_from("headcast publish --to a:1 --message x").is_ok());
    assert!(parse_from("headcast publish --message x").is_err());
    assert!(parse_from("headcast publish --to a:1 --peers 127.0.0.1 --message x").is_err());
    assert!(parse_from("headcast relay --listen udp://127.0.0.1:1").is_err());
}

#[test]
fn wrong_values_are_told_what_would_be_right() {
    for (line, hint) in [
        ("headcast publish --peers 0.0.0.0 --message x", "0.0.0.0"),
        ("headcast publish --peers 1.2.3.4:99999 --message x", "65535"),
        ("headcast publish --to a:1 --message x --spacing 5", "2ms"),
        ("headcast publish --to a:1 --message x --rate 0", "0.001"),
        ("headcast publish --to a:1 --message x --mode fec", "dup+nak"),
        ("headcast publish --to a:1 --message x --repair-share 101", "0 to 100"),
        ("headcast publish --to a:1 --repeat 3", "--message"),
        ("headcast relay --to a:1 --listen /run/x.sock", "unix:///"),
        ("headcast relay --to a:1 --listen udp://127.0.0.1", "udp://127.0.0.1:9000"),
        ("headcast subscribe --listen 12000", "0.0.0.0:12000"),
        ("headcast subscribe --streams 1,x", "65535"),
        ("headcast subscribe --count 0", "1.."),
        ("headcast subscribe --respond-to a:1", "--respond-with"),
        ("headcast subscribe --respond-with echo", "--respond-to"),
        ("headcast subscribe --respond-to a:1 --respond-with echo --raw", "--raw"),
        ("headcast subscribe --respond-to a:1 --respond-with shell", "exec"),
        ("headcast subscribe --respond-to a:1 --respond-with exec --respond-timeout 5", "2ms"),
        ("headcast subscribe --respond-to a:1 --respond-with exec --respond-concurrency 1025", "1024"),
        ("headcast subscribe -- cat", "--respond-with"),
        ("headcast demo --loss 101", "0 to 100"),
    ] {
        let error = parse_from(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(hint), "{line}: {error}");
    }
}

#[test]
fn every_mode_has_its_name() {
    for (name, mode) in [
        ("once", headcast::Mode::Once),
        ("dup", headcast::Mode::Dup),
        ("dup+nak", headcast::Mode::DupNak),
        ("nak", headcast::Mode::Nak),
    ] {
        for line in [
            format!("headcast publish --to a:1 --message x --mode {name}"),
            format!("headcast relay --to a:1 --listen udp://127.0.0.1:1 --mode {name}"),
        ] {
            let sending = match parse_from(&line).expect("valid").command {
                Command2::Publish(publish) => publish.sending,
                Command2::Relay(relay) => relay.sending,
                other => panic!("{other:?} was not asked for"),
            };
            assert_eq!(sending.mode.map(headcast::Mode::from), Some(mode));
            assert_eq!(mode.to_string(), name);
        }
    }
}

#[test]
fn what_bounds_repairs_is_read() {
    let line = "headcast publish --to a:1 --message x --mode nak --repair-share 2.5% --repair-interval 3ms --history-max 100 --message-max 5000";
    let Command2::Publish(publish) = parse_from(line).expect("valid").command else {
        panic!("publish was asked for")
    };
    let sending = publish.sending;
    assert!((sending.repair_share - 2.5).abs() < 1e-9);
    assert_eq!(
        (sending.repair_interval, sending.history_max, sending.message_max),
        (Duration::from_millis(3), Some(100), 5_000)
    );
}

#[test]
fn how_messages_are_answered_is_read() {
    let line = "headcast subscribe --respond-to 10.0.0.1:1,10.0.0.2:1 --respond-with exec --respond-concurrency 3 --respond-id 9 -- ./work --respond-with echo";
    let Command2::Subscribe(subscribe) = parse_from(line).expect("valid").command else {
        panic!("subscribe was asked for")
    };
    let responding = subscribe.responding;
    assert_eq!(responding.respond_to, ["10.0.0.1:1", "10.0.0.2:1"]);
    assert_eq!(responding.respond_with, Some(RespondWith::Exec));
    assert_eq!((responding.respond_concurrency, responding.respond_id), (Some(3), Some(9)));
    assert_eq!(responding.command, ["./work", "--respond-with", "echo"], "what follows -- is the command's");
    assert_eq!(
        (responding.respond_timeout, responding.respond_drain),
        (Duration::from_secs(5), Duration::from_secs(20))
    );
    assert_eq!((responding.respond_backlog, responding.respond_queue), (1024, 8192));
}

#[test]
fn lists_are_read() {
    let Command2::Publish(publish) =
        parse_from("headcast publish --peers 10.0.0.1,[::1]:5 --message x").expect("valid").command
    else {
        panic!("publish was asked for")
    };
    let peers: Vec<String> =
        publish.target.source.peers.expect("peers").iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.0.0.1:12000", "[::1]:5"]);
    assert_eq!(common::streams("all"), Ok(common::Streams(vec![])));
    assert_eq!(common::streams("0, 7"), Ok(common::Streams(vec![0, 7])));
}

use super::Command as Command2;
