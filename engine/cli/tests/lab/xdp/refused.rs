//! The program where frames cannot be had: what is missing is said, and `auto` goes on without.

use std::io::Write as _;

use crate::support::{HEADCAST, Lab, Pods, Running};

/// As long as the numbers that the pods expect.
const MESSAGE: &str = "a number";

/// Publishes one message with a backend, with less than the program could have: `setpriv` takes away, by its words.
fn publish(lab: &Lab, backend: &str, without: &str) -> std::process::Output {
    let addresses: Vec<String> = lab.addresses().iter().map(ToString::to_string).collect();
    let mut command = lab.exec("publisher", "setpriv");
    command.args(without.split_whitespace()).arg(HEADCAST);
    command.args(["publish", "--peers", &addresses.join(","), "--backend", backend, "--message", MESSAGE]);
    Running::spawn(command).wait()
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_the_capability_xdp_says_so_and_exits_and_auto_goes_by_the_socket() {
    let lab = Lab::up("--pods 2 --no-records");
    let without = "--bounding-set=-net_raw --inh-caps=-net_raw";
    let refused = publish(&lab, "xdp", without);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("CAP_NET_RAW"), "{}", stderr(&refused));

    let pods = Pods::start(&lab, lab.addresses());
    let done = publish(&lab, "auto", without);
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(stderr(&done).matches("go by the socket").count(), 1, "{}", stderr(&done));
    assert!(stderr(&done).contains("CAP_NET_RAW"), "{}", stderr(&done));
    for pod in pods.stop() {
        assert_eq!(pod.numbers, [u64::from_le_bytes(*b"a number")]);
    }
}

#[test]
fn without_locked_memory_xdp_says_how_much_it_needs() {
    let lab = Lab::up("--pods 1 --no-records");
    let without = "--bounding-set=-ipc_lock --inh-caps=-ipc_lock prlimit --memlock=65536:65536";
    let refused = publish(&lab, "xdp", without);
    assert!(!refused.status.success());
    let said = stderr(&refused);
    assert!(said.contains("131072 B of locked memory") && said.contains("RLIMIT_MEMLOCK"), "{said}");
    let pods = Pods::start(&lab, lab.addresses());
    let auto = publish(&lab, "auto", without);
    assert!(auto.status.success(), "{}", stderr(&auto));
    let said = stderr(&auto);
    assert!(
        said.matches("go by the socket").count() == 1 && said.contains("131072 B of locked memory"),
        "{said}"
    );
    for pod in pods.stop() {
        assert_eq!(pod.numbers, [u64::from_le_bytes(*b"a number")]);
    }
    // Four times as much is enough, and so is what there is.
    let without = without.replace("65536:65536", "524288:524288");
    let done = publish(&lab, "xdp", &without);
    assert!(done.status.success(), "{}", stderr(&done));
}

#[test]
fn when_another_publisher_has_the_interface_xdp_says_so() {
    let lab = Lab::up("--pods 1 --no-records");
    let _pods = Pods::start(&lab, lab.addresses());
    let address = lab.addresses()[0];
    let mut first =
        lab.headcast("publisher", &format!("publish --peers {address} --backend xdp --log-level info"));
    let mut input = first.child().stdin.take().expect("a pipe");
    let told = std::thread::spawn({
        let errors = first.child().stderr.take().expect("a pipe");
        move || {
            use std::io::BufRead as _;
            std::io::BufReader::new(errors)
                .lines()
                .map_while(Result::ok)
                .any(|line| line.contains("frames go out by AF_XDP"))
        }
    });
    // The first message makes the kernel learn the next hop.
    input.write_all(b"a number\n").expect("it reads");
    assert!(told.join().expect("no panic"), "the first one sends frames");
    let second = publish(&lab, "xdp", "--bounding-set=-sys_time");
    assert!(!second.status.success());
    assert!(stderr(&second).contains("has an AF_XDP socket already"), "{}", stderr(&second));
    let third = publish(&lab, "auto", "--bounding-set=-sys_time");
    assert!(third.status.success(), "{}", stderr(&third));
}
